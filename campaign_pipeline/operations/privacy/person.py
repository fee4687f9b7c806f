"""Whom an export or an erasure is about: all that a contact can be recognised by in any store."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, quote_plus, unquote_plus

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.suppression import comparable
from campaign_pipeline.core import ids
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import contacts, runs
from campaign_pipeline.core.words import Channel
from campaign_pipeline.operations.installation import Installation

_ID = re.compile(r"(?<![0-9a-z])[0-9a-f]{24}(?![0-9a-z])")
_ID_BYTES = re.compile(rb"(?=([0-9a-f]{24}))")  # also where other hex digits stand before it, such as %3D


@dataclass(frozen=True)
class Person:
    """`addresses`: every e-mail and phone number that the contact has or was sent to, as normalised and as it came.

    `runs`: of all there are; with the contact's id they give the ids of its messages, by whatever channel. `numbers`:
    run id -> numbers of the contact's messages there, one a channel, for those runs that have any. `name`: first and
    last name.
    """

    contact_id: str
    external_id: str | None
    addresses: frozenset[str]
    runs: frozenset[str]
    numbers: dict[str, frozenset[int]]
    name: tuple[str, ...] = ()

    @cached_property
    def message_ids(self) -> frozenset[str]:
        return frozenset(ids.message_id(run, self.contact_id, channel) for run in self.runs for channel in Channel)

    @cached_property
    def compared(self) -> frozenset[str]:
        """The addresses as suppressions write them."""
        return frozenset(comparable("email" if "@" in address else "sms", address) for address in self.addresses)

    def is_in(self, text: str) -> bool:
        """Whether `text` names the contact: an address, a message id, or the contact's id, also URL-encoded."""
        return any(
            self._address.search(form) or not self._ids.isdisjoint(_ID.findall(form))
            for form in {text.lower(), unquote_plus(text).lower()}
        )

    def may_be_in(self, line: bytes) -> bool:
        """False where it is certain that `line`, in whatever encoding but base64, does not name the contact."""
        lowered = line.lower()
        if b"base64" in lowered or any(form in lowered for form in self._encoded):
            return True
        return any(found.decode() in self._ids for found in _ID_BYTES.findall(lowered))

    def owns_cells(self, cells: Iterable[str]) -> bool:
        """Whether a row with these cells is about the contact."""
        found = {cell.strip().lstrip("'").casefold() for cell in cells}
        keys = {self.contact_id, *self.addresses, *([self.external_id] if self.external_id else [])}
        named = len(self.name) > 1 and {part.casefold() for part in self.name} <= found
        return named or bool(found & {key.casefold() for key in keys})

    @cached_property
    def _ids(self) -> frozenset[str]:
        return self.message_ids | {self.contact_id}

    @cached_property
    def _address(self) -> re.Pattern[str]:
        either = "|".join(re.escape(address.lower()) for address in sorted(self.addresses)) or "(?!)"
        return re.compile(rf"(?<![0-9a-z.+_-])(?:{either})(?![0-9a-z_-]|\.[0-9a-z])")

    @cached_property
    def _encoded(self) -> list[bytes]:
        forms = {form(address).lower() for address in self.addresses for form in (str, quote, quote_plus)}
        ascii_json = {address.lower().encode("ascii", "backslashreplace").decode() for address in self.addresses}
        return [form.encode() for form in forms | ascii_json]


def find_person(installation: Installation, identifier: str) -> Person:
    """The contact with this id or external id, also one of whom only events or messages are held."""
    with reading(installation.engine) as connection:
        query = sa.select(contacts).where(contacts.c.contact_id == identifier)
        row = connection.execute(query).one_or_none()
        if row is None:
            by_name = sa.select(contacts).where(contacts.c.external_id == identifier)
            row = connection.execute(by_name).one_or_none()
        run_ids = connection.execute(sa.select(runs.c.run_id)).scalars().all()
    if row is None:
        known = re.fullmatch(r"[0-9a-f]{24}", identifier) is not None
        contact_id, external_id = (identifier, None) if known else (ids.contact_id(identifier), identifier)
        addresses, name = set[str](), ()
    else:
        contact_id, external_id = row.contact_id, row.external_id
        addresses = {text.strip() for text in (row.email, row.email_raw, row.phone, row.phone_raw) if text}
        name = tuple(part for part in (row.first_name, row.last_name) if part)
    addresses |= _sent_to(installation.lake, contact_id)
    numbers = _message_numbers(installation.lake, contact_id)
    return Person(contact_id, external_id, frozenset(addresses - {""}), frozenset(run_ids), numbers, name)


def _sent_to(lake: Lake, contact_id: str) -> set[str]:
    """The addresses that the contact had when audiences were frozen."""
    found: set[str] = set()
    for run_id in lake.partitions("audience"):
        rows = pl.scan_parquet(lake.path("audience", run_id), glob=False).filter(pl.col("contact_id") == contact_id)
        for address, contact in rows.select("address", "contact").collect().iter_rows():
            found |= {text for text in (address, contact.get("email"), contact.get("phone")) if text}
    # An external id, to which webhooks go, may be any word: what holds it is not for that about the contact.
    return {text for text in found if "@" in text or text.startswith("+")}


def _message_numbers(lake: Lake, contact_id: str) -> dict[str, frozenset[int]]:
    found: dict[str, frozenset[int]] = {}
    for run_id in lake.partitions("messages"):
        rows = pl.scan_parquet(lake.path("messages", run_id), glob=False).filter(pl.col("contact_id") == contact_id)
        if numbers := frozenset[int](rows.select("message_no").collect().to_series()):
            found[run_id] = numbers
    return found
