"""What events change for the next audience: suppressions, and consent that is withdrawn or given back.

Idempotent: a suppression's source is the event's id, and consent follows only from suppressions that are new.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

import polars as pl
import sqlalchemy as sa
from pydantic import SecretStr

from campaign_pipeline.contacts.consent import MARKETING, record_consent
from campaign_pipeline.contacts.suppression import ADDRESS_OF, Suppression, comparable, erased_among, lift, suppress
from campaign_pipeline.core.tables import campaign_versions, consents, contacts, runs, suppressions
from campaign_pipeline.core.words import Channel, ConsentState, SuppressionReason
from campaign_pipeline.events.attribution import MessageKey, Recipient
from campaign_pipeline.events.event import Event

WITHDRAWS_CONSENT = frozenset(
    {SuppressionReason.UNSUBSCRIBED, SuppressionReason.OPTED_OUT, SuppressionReason.COMPLAINED}
)
"""What a person said. A hard bounce says nothing about consent."""

REPLY = "reply"
"""Source of consent that was withdrawn by STOP; START gives back this and nothing else."""

_KEYS = 10_000


def apply_consequences(
    connection: sa.Connection,
    events: Sequence[Event],
    recipients: Mapping[MessageKey, Recipient],
    at: datetime,
    soft_bounce: timedelta,
    secret: SecretStr,
) -> tuple[int, list[Event]]:
    """(suppressions that were new, events whose address is nowhere to be found). `at`: when this is recorded.

    `soft_bounce`: for how long one suppresses, from when it happened; none at all: it does not. An address that was
    erased (known by its hash with `secret`) is suppressed on every channel, and is not written down again.
    """
    due = {event.event_id: event for event in events if event.lifts or event.suppress}
    if not soft_bounce:
        due = {key: event for key, event in due.items() if event.suppress is not SuppressionReason.SOFT_BOUNCE}
    purposes = _purposes(connection, {event.run_id for event in due.values()})
    known = _known_sources(connection, list(due))
    addresses = {event.event_id: _address(event, recipients) for event in due.values()}
    erased = set(erased_among(connection, pl.Series(addresses.values(), dtype=pl.String), secret)["address"])
    entries: list[tuple[bool, Suppression]] = []
    homeless: list[Event] = []
    for event_id, event in sorted(due.items(), key=lambda item: item[1].received_at):
        recipient = recipients.get((event.run_id, event.message_id))
        address = addresses[event_id]
        if not address:
            homeless.append(event)
        elif event_id not in known and address not in erased:
            reason = event.suppress or SuppressionReason.OPTED_OUT
            ends = event.occurred_at + soft_bounce if reason is SuppressionReason.SOFT_BOUNCE else None
            entry = Suppression(event.channel, address, reason, event_id, at, expires_at=ends)
            entries.append((event.lifts, entry))
            for contact_id in _contacts(connection, event.channel, address, recipient):
                _record_consent(connection, contact_id, event, {MARKETING, purposes.get(event.run_id, MARKETING)})
    new = 0
    # Runs of equal kind, in the order of arrival: of STOP and START the later counts.
    for lifts, some in groupby(entries, key=lambda entry: entry[0]):
        rows = [entry for _, entry in some]
        if lifts:
            lift(connection, rows)
        else:
            new += suppress(connection, rows)
    return new, homeless


def _address(event: Event, recipients: Mapping[MessageKey, Recipient]) -> str:
    recipient = recipients.get((event.run_id, event.message_id))
    return recipient.address if recipient else comparable(event.channel, event.address)


def _record_consent(connection: sa.Connection, contact_id: str, event: Event, purposes: Collection[str]) -> None:
    """At the time of the event, not of now: a START that is taken in late must not outdo a newer STOP."""
    if event.lifts:
        said = _before_the_reply(connection, contact_id, event.channel)
    elif event.suppress in WITHDRAWS_CONSENT:
        said = dict.fromkeys(purposes, ConsentState.WITHDRAWN)
    else:
        return
    for purpose, state in sorted(said.items()):
        record_consent(
            connection,
            contact_id,
            event.channel,
            state,
            source=REPLY if event.raw_type == "inbound" else f"{event.provider}:{event.raw_type}",
            at=event.occurred_at,
            purpose=purpose,
            evidence={"event_id": event.event_id, "run_id": event.run_id, "message_id": event.message_id},
        )


def _before_the_reply(connection: sa.Connection, contact_id: str, channel: Channel) -> dict[str, ConsentState]:
    """By purpose, for those that a reply withdrew last: what START gives back. A pending consent stays pending."""
    history = (
        sa.select(consents.c.purpose, consents.c.state, consents.c.source)
        .where(consents.c.contact_id == contact_id, consents.c.channel == channel.value)
        .order_by(consents.c.recorded_at, consents.c.consent_id)
    )
    before: dict[str, ConsentState] = {}
    withdrawn: dict[str, bool] = {}
    for purpose, state, source in connection.execute(history):
        withdrawn[purpose] = state == ConsentState.WITHDRAWN and source == REPLY
        if not withdrawn[purpose]:
            before[purpose] = ConsentState(state)
    pending = {purpose for purpose, state in before.items() if state is ConsentState.PENDING}
    return {
        purpose: ConsentState.PENDING if purpose in pending else ConsentState.GRANTED
        for purpose, by_reply in withdrawn.items()
        if by_reply
    }


def _purposes(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, str]:
    """The purpose of consent of each run's campaign, for those runs that are here."""
    same = sa.and_(campaign_versions.c.campaign == runs.c.campaign, campaign_versions.c.version == runs.c.version)
    query = sa.select(runs.c.run_id, campaign_versions.c.definition).join(campaign_versions, same)
    found = connection.execute(query.where(runs.c.run_id.in_(sorted(run_ids)))) if run_ids else ()
    return {run_id: definition.get("purpose", MARKETING) for run_id, definition in found}


def _contacts(connection: sa.Connection, channel: Channel, address: str, recipient: Recipient | None) -> list[str]:
    """The contact that the message went to; where no message is known, all who have the address now."""
    if recipient:
        return [recipient.contact_id]
    query = sa.select(contacts.c.contact_id).where(ADDRESS_OF[channel] == address).order_by(contacts.c.contact_id)
    return list(connection.execute(query).scalars())


def _known_sources(connection: sa.Connection, event_ids: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(event_ids), _KEYS):
        some = event_ids[start : start + _KEYS]
        query = sa.select(suppressions.c.source).where(suppressions.c.source.in_(some))
        known |= set(connection.execute(query).scalars())
    return known
