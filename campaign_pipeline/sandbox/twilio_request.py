"""What Twilio checks before it creates a message, in the order of its answers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
from yarl import URL

from campaign_pipeline.sandbox.answers import Answer, twilio_error
from campaign_pipeline.sandbox.twilio_messages import WHATSAPP

E164 = re.compile(r"\+[1-9]\d{6,14}")
SENDER = re.compile(r"\+[1-9]\d{6,14}|\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")  # number, short code, alphanumeric
CONTENT_SID = re.compile(r"HX[0-9a-fA-F]{32}")
MAX_BODY, MAX_MEDIA = 1600, 10
EARLIEST, LATEST = timedelta(seconds=300), timedelta(days=35)

# Twilio's magic numbers (its test credentials): each is refused with one error.
MAGIC_TO = {
    "+15005550001": (21211, "is not a valid phone number"),
    "+15005550002": (21612, "cannot be reached from this sender"),
    "+15005550003": (21408, "is in a region that is not enabled"),
    "+15005550004": (21610, "is unsubscribed"),
    "+15005550009": (21614, "is not a mobile number"),
}
MAGIC_FROM = {
    "+15005550001": (21212, "is not a valid phone number"),
    "+15005550007": (21606, "is not one of your numbers"),
    "+15005550008": (21611, "has a full queue"),
}


class Refusal(Exception):
    """Twilio does not create the message; `answer` says why, with its error code."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.answer: Answer = twilio_error(status, code, message)


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A request that passed the checks."""

    to: str
    sender: str | None
    messaging_service_sid: str | None
    body: str
    media: int
    content_sid: str
    variables: dict[str, str]
    send_at: datetime | None
    status_callback: str
    tags: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict[str, str])  # of the status callback's URL


def read_request(raw: bytes, now: datetime) -> NewMessage:
    """The form of POST Messages.json; Refusal if Twilio would not take it."""
    fields = URL.build(query_string=raw.decode("utf-8", "replace"), encoded=True).query  # quicker than parse_qsl
    form = dict(fields.items())
    media = len(fields.getall("MediaUrl", ()))
    to = _recipient(form.get("To", ""))
    sender, service = _sender(form, to)
    body, content_sid = form.get("Body", ""), form.get("ContentSid", "")
    if not body and not media and not content_sid:
        raise Refusal(21602, "Message body is required.")
    if len(body) > MAX_BODY:
        raise Refusal(21617, f"The concatenated message body exceeds the {MAX_BODY} character limit")
    if media > MAX_MEDIA:
        raise Refusal(21620, "Invalid media URL(s)")
    if content_sid and not CONTENT_SID.fullmatch(content_sid):
        raise Refusal(21655, "The ContentSid is Invalid")
    callback = form.get("StatusCallback", "")
    return NewMessage(
        to=to,
        sender=sender,
        messaging_service_sid=service,
        body=body,
        media=media,
        content_sid=content_sid,
        variables=_variables(form.get("ContentVariables", "")),
        send_at=_send_at(form, service, now),
        status_callback=callback,
        tags=_tags(form.get("Tags", "")),
        query=_query(callback),
    )


def _recipient(to: str) -> str:
    if not to:
        raise Refusal(21604, "A 'To' phone number is required.")
    number = to.removeprefix(WHATSAPP)
    if not E164.fullmatch(number):
        raise Refusal(21211, f"The 'To' number {to} is not a valid phone number.")
    if to in MAGIC_TO:
        code, problem = MAGIC_TO[to]
        raise Refusal(code, f"The 'To' number {to} {problem}.")
    return to


def _sender(form: Mapping[str, str], to: str) -> tuple[str | None, str | None]:
    sender, service = form.get("From") or None, form.get("MessagingServiceSid") or None
    if sender is None and service is None:
        raise Refusal(21603, "A 'From' phone number is required.")
    if sender is not None:
        if sender in MAGIC_FROM:
            code, problem = MAGIC_FROM[sender]
            raise Refusal(code, f"The 'From' number {sender} {problem}.")
        if not SENDER.fullmatch(sender.removeprefix(WHATSAPP)):
            raise Refusal(21212, f"The 'From' number {sender} is not a valid phone number, shortcode or sender ID.")
        if sender.startswith(WHATSAPP) != to.startswith(WHATSAPP):
            raise Refusal(63007, "Twilio could not find a Channel with the specified From address")
    if service is not None and not re.fullmatch(r"MG[0-9a-fA-F]{32}", service):
        raise Refusal(21701, "The Messaging Service does not exist", 404)
    return sender, service


def _variables(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        variables = orjson.loads(text)
    except orjson.JSONDecodeError:
        variables = None
    if not isinstance(variables, dict) or not all(isinstance(value, str) and value for value in variables.values()):
        raise Refusal(21656, "The ContentVariables Parameter is Invalid")
    return variables


def _send_at(form: Mapping[str, str], service: str | None, now: datetime) -> datetime | None:
    """When a scheduled message is due; without a Messaging Service Twilio drops the schedule and sends at once."""
    if form.get("ScheduleType", "") != "fixed" or service is None:
        return None
    if "SendAt" not in form:
        raise Refusal(35111, "SendAt timestamp is missing")
    try:
        send_at = datetime.fromisoformat(form["SendAt"])
    except ValueError:
        raise Refusal(35115, "Scheduling does not support this timestamp") from None
    send_at = send_at.replace(tzinfo=send_at.tzinfo or UTC)
    if not EARLIEST <= send_at - now <= LATEST:
        raise Refusal(35114, "SendAt time must be between 300 seconds and 35 days (3024000 seconds) in the future")
    return send_at


def _tags(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    try:
        tags = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ()
    return tuple(f"{name}:{value}" for name, value in tags.items()) if isinstance(tags, dict) else ()


def _query(callback: str) -> dict[str, str]:
    if not callback:
        return {}
    try:
        url = URL(callback, encoded=True)
        valid = url.scheme in ("http", "https") and bool(url.host)
    except ValueError:
        valid, url = False, URL()
    if not valid:
        raise Refusal(21609, "The StatusCallback URL is not a valid URL.")
    return {name: value for name, value in url.query.items() if value}
