"""Could we send to this contact on that day? What the records of that time say, with the reasons."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa
from pydantic import SecretStr

from campaign_pipeline.contacts.suppression import (
    ADDRESS_OF,
    EVERY_CHANNEL,
    EVERY_TOPIC,
    concerning,
    erased_among,
    holding,
)
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.tables import consents, contacts, suppressions
from campaign_pipeline.core.words import Channel, ConsentState, SuppressionReason


@dataclass(frozen=True)
class Held:
    """A suppression of the contact's address that held. `topic` "": of all; `channel`: EVERY_CHANNEL, or the one."""

    reason: SuppressionReason
    channel: str
    topic: str
    source: str
    recorded_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class Answer:
    """`could`: there is an address, consent was granted, and no suppression held.

    `has_address` is of now: earlier addresses are not kept. `consent`: the state at the time, None if nothing had been
    said; with its source, evidence and time. All is as far as it was recorded by `at`.
    """

    contact_id: str
    channel: Channel
    purpose: str
    at: datetime
    has_address: bool
    consent: ConsentState | None
    consent_source: str
    consent_evidence: dict[str, Any]
    consent_recorded_at: datetime | None
    suppressions: tuple[Held, ...]

    @property
    def could(self) -> bool:
        return self.has_address and self.consent is ConsentState.GRANTED and not self.suppressions

    def reasons(self) -> list[str]:
        """One sentence each for address, consent and suppression, whether it allowed sending or not."""
        address = "has a valid address now" if self.has_address else "has no valid address now"
        said = f"{self.consent} since {_minute(self.consent_recorded_at)} ({self.consent_source})"
        held = [
            f"{each.reason}, {each.topic or 'all topics'}, {each.channel} channel"
            + (f", since {_minute(each.recorded_at)}" if each.recorded_at else "")
            + (f" until {_minute(each.expires_at)}" if each.expires_at else "")
            for each in self.suppressions
        ]
        return [
            f"address: {address} (earlier addresses are not kept)",
            f"consent for {self.purpose}: {said if self.consent else 'nothing had been said'}",
            f"suppression: {'; '.join(held) or 'none held'}",
        ]


def _minute(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else ""


def could_send(
    connection: sa.Connection, contact_id: str, channel: Channel, purpose: str, at: datetime, *, secret: SecretStr
) -> Answer:
    """What was known at `at` of sending to the contact; NotFound if there is no such contact.

    One query; a second one, with `secret`, finds out whether the address had been erased before.
    """
    address = ADDRESS_OF[channel]
    own = sa.select(address).where(contacts.c.contact_id == contact_id).scalar_subquery()
    held = (
        holding(at, recorded_by=at).where(concerning(channel, purpose), suppressions.c.address == own).subquery("held")
    )
    newest = (
        sa.select(consents.c.consent_id)
        .where(consents.c.contact_id == contact_id, consents.c.channel == channel.value)
        .where(consents.c.purpose == purpose, consents.c.recorded_at <= at)
        .order_by(consents.c.recorded_at.desc(), consents.c.consent_id.desc())
        .limit(1)
        .scalar_subquery()
    )
    known = contacts.outerjoin(consents, consents.c.consent_id == newest).outerjoin(held, held.c.address == address)
    query = (
        sa.select(address.label("address"), *_named("consent", consents), *_named("held", held))
        .select_from(known)
        .where(contacts.c.contact_id == contact_id)
        .order_by(held.c.recorded_at, held.c.suppression_id)
    )
    rows = connection.execute(query).mappings().all()
    if not rows:
        raise NotFound(f"there is no contact {contact_id}")
    first = rows[0]
    suppressed = [_held(row) for row in rows if row["held_reason"]]
    suppressed += _erased(connection, first["address"], secret, at)
    return Answer(
        contact_id,
        channel,
        purpose,
        at,
        has_address=first["address"] is not None,
        consent=ConsentState(first["consent_state"]) if first["consent_state"] else None,
        consent_source=first["consent_source"] or "",
        consent_evidence=first["consent_evidence"] or {},
        consent_recorded_at=first["consent_recorded_at"],
        suppressions=tuple(suppressed),
    )


def _named(prefix: str, table: sa.FromClause) -> list[sa.Label[Any]]:
    return [column.label(f"{prefix}_{column.name}") for column in table.c]


def _held(row: sa.RowMapping) -> Held:
    names = ("channel", "topic", "source", "recorded_at", "expires_at")
    return Held(SuppressionReason(row["held_reason"]), *(row[f"held_{name}"] for name in names))


def _erased(connection: sa.Connection, address: str | None, secret: SecretStr, at: datetime) -> list[Held]:
    own = pl.Series([address], dtype=pl.String)
    found = erased_among(connection, own, secret, recorded_by=at)
    return [] if found.is_empty() else [Held(SuppressionReason.ERASED, EVERY_CHANNEL, EVERY_TOPIC, "", None, None)]
