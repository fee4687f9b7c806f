"""What SendGrid checks before it takes a request (Mail Send errors of its documentation)."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from campaign_pipeline.sandbox.answers import Answer, sendgrid_error
from campaign_pipeline.sandbox.sendgrid_limits import (
    ADDRESS,
    MAX_ADDRESS,
    MAX_AHEAD,
    MAX_BYTES,
    MAX_CATEGORIES,
    MAX_PERSONALIZATIONS,
    RESERVED_HEADERS,
)
from campaign_pipeline.sandbox.sendgrid_quick_check import are_fine

RECIPIENTS = ("to", "cc", "bcc")


class Invalid(Exception):
    """A field that SendGrid refuses; becomes a 400. The field's path is completed on the way out, so that
    the many requests that are fine pay nothing for it."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.message, self.field = message, field

    def within(self, outer: str) -> "Invalid":
        return Invalid(self.message, f"{outer}.{self.field}" if self.field else outer)

    @property
    def answer(self) -> Answer:
        return sendgrid_error(400, self.message, self.field)


def check_mail(mail: Mapping[str, Any], now: float) -> None:
    """Invalid, with the first field that is wrong. `now` is the sandbox's time (epoch seconds)."""
    people = mail.get("personalizations")
    if not isinstance(people, list) or not people:
        raise Invalid(
            "The personalizations field is required and must have at least one personalization.", "personalizations"
        )
    if len(people) > MAX_PERSONALIZATIONS:
        raise Invalid(f"The personalizations field cannot hold more than {MAX_PERSONALIZATIONS}.", "personalizations")
    try:
        _check_address(mail.get("from"))
    except Invalid as invalid:
        raise invalid.within("from") from None
    _check_content(mail)
    _check_categories(mail.get("categories"))
    _check_headers(mail.get("headers"), "headers")
    _check_send_at(mail.get("send_at"), "send_at", now)
    if "custom_args" in mail:
        _check_size(mail["custom_args"], "custom_args")
    subject_for_all = mail.get("subject") or mail.get("template_id")
    if subject_for_all and are_fine(people):
        return
    seen: set[str] = set()
    for number, person in enumerate(people):
        try:
            _check_personalization(person, seen, now)
        except Invalid as invalid:
            raise invalid.within(f"personalizations.{number}") from None
        if not subject_for_all and not person.get("subject"):
            raise Invalid(
                "The subject is required. You can get around this requirement if you use a template with a subject "
                "defined or if every personalization has a subject defined.",
                "subject",
            )


def _check_personalization(person: Any, seen: set[str], now: float) -> None:
    if not isinstance(person, dict) or not isinstance(person.get("to"), list) or not person["to"]:
        raise Invalid(
            "The to array is required for all personalization objects, and must have at least one email object "
            "with a valid email address.",
            "to",
        )
    for kind in RECIPIENTS:
        for index, recipient in enumerate(person.get(kind, ())):
            try:
                address = _check_address(recipient).lower()
            except Invalid as invalid:
                raise invalid.within(f"{kind}.{index}") from None
            if address in seen:
                raise Invalid(
                    "Each email address in the personalization block should be unique between to, cc, and bcc. "
                    f"We found the first duplicate instance of [{address}] in the {kind} field.",
                    "",
                )
            seen.add(address)
    substitutions = person.get("substitutions")
    if substitutions:
        _check_substitutions(substitutions, "substitutions")
    if "custom_args" in person:
        _check_size(person["custom_args"], "custom_args")
    if "headers" in person:
        _check_headers(person["headers"], "headers")
    if "send_at" in person:
        _check_send_at(person["send_at"], "send_at", now)


def _check_address(value: Any) -> str:
    address = value.get("email") if isinstance(value, dict) else None
    if not isinstance(address, str) or not ADDRESS.fullmatch(address) or len(address) > MAX_ADDRESS:
        raise Invalid("Does not contain a valid address.", "email")
    return address


def _check_content(mail: Mapping[str, Any]) -> None:
    contents = mail.get("content")
    if mail.get("template_id") and not contents:
        return
    if not isinstance(contents, list) or not contents:
        raise Invalid("Unless a valid template_id is provided, the content parameter is required.", "content")
    types: list[str] = []
    for number, content in enumerate(contents):
        if not isinstance(content, dict) or not isinstance(content.get("type"), str) or not content["type"]:
            raise Invalid(
                "The content type must be a string at least one character in length.", f"content.{number}.type"
            )
        if not isinstance(content.get("value"), str) or not content["value"]:
            raise Invalid(
                "The content value must be a string at least one character in length.", f"content.{number}.value"
            )
        types.append(content["type"])
    order = {"text/plain": 0, "text/html": 1}
    ranks = [order.get(kind, 2) for kind in types]
    if ranks != sorted(ranks):
        raise Invalid("If present, text/plain must come first, followed by text/html, then by other types.", "content")


def _check_categories(categories: Any) -> None:
    if categories is None:
        return
    if not isinstance(categories, list) or any(not isinstance(c, str) or len(c) > 255 for c in categories):
        raise Invalid("Categories must be strings of at most 255 characters.", "categories")
    if len(categories) > MAX_CATEGORIES:
        raise Invalid(f"The categories array cannot hold more than {MAX_CATEGORIES}.", "categories")
    if len(set(categories)) != len(categories):
        raise Invalid("The categories array must be unique.", "categories")


def _check_headers(headers: Any, at: str) -> None:
    if headers is None:
        return
    if _letters(headers) is None:
        raise Invalid("Headers must be an object of strings.", at)
    reserved = _reserved(tuple(headers))
    if reserved:
        raise Invalid(f"Headers cannot contain any of the following reserved headers: {min(reserved)}", at)


@lru_cache(maxsize=64)  # recipients have the same headers, with other values
def _reserved(names: tuple[str, ...]) -> frozenset[str]:
    return RESERVED_HEADERS.intersection(map(str.lower, names))


def _check_send_at(send_at: Any, at: str, now: float) -> None:
    if send_at is None:
        return
    if not isinstance(send_at, int):
        raise Invalid("The send_at parameter must be a Unix timestamp.", at)
    if send_at > now + MAX_AHEAD:
        raise Invalid("Scheduling more than 72 hours in advance is not permitted.", at)


def _check_substitutions(values: Any, at: str) -> None:
    letters = _letters(values)
    if letters is None:
        raise Invalid("The substitutions must be an object of strings.", at)
    if "" in values:
        raise Invalid("A substitution tag cannot be empty.", at)
    if letters * 4 > MAX_BYTES:  # no letter takes more than four bytes, so most need no exact count
        exact = sum(len(text.encode()) for item in values.items() for text in item)
        if exact > MAX_BYTES:
            raise Invalid(f"The substitutions of a personalization cannot exceed {MAX_BYTES} bytes.", at)


def _check_size(custom_args: Any, at: str) -> None:
    letters = _letters(custom_args)
    if letters is None:
        raise Invalid("The custom_args must be an object of strings.", at)
    most = 6 * (letters + len(custom_args)) + 2  # no letter takes more than six bytes in JSON
    if most > MAX_BYTES and len(orjson.dumps(custom_args)) > MAX_BYTES:
        raise Invalid(f"The custom_args cannot exceed {MAX_BYTES} bytes.", at)


def _letters(value: Any) -> int | None:
    """The letters of an object of strings, names included; None if it is anything else."""
    try:
        return len("".join(value)) + len("".join(value.values()))
    except (AttributeError, TypeError):
        return None
