"""What events change for the next audience: suppressions, and consent that is withdrawn or given back.

Idempotent: a suppression's source is the event's id, and consent follows only from suppressions that are new.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

import sqlalchemy as sa

from campaign_pipeline.contacts.consent import MARKETING, record_consent
from campaign_pipeline.contacts.suppression import Suppression, comparable, lift, suppress
from campaign_pipeline.core.tables import consents, contacts, suppressions
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
    connection: sa.Connection, events: Sequence[Event], recipients: Mapping[MessageKey, Recipient], at: datetime
) -> tuple[int, list[Event]]:
    """(suppressions that were new, events whose address is nowhere to be found). `at`: when this is recorded."""
    due = {event.event_id: event for event in events if event.suppress or event.lifts}
    known = _known_sources(connection, list(due))
    entries: list[tuple[bool, Suppression]] = []
    homeless: list[Event] = []
    for event_id, event in sorted(due.items(), key=lambda item: item[1].received_at):
        recipient = recipients.get((event.run_id, event.message_id))
        address = recipient.address if recipient else comparable(event.channel, event.address)
        if not address:
            homeless.append(event)
        elif event_id not in known:
            reason = event.suppress or SuppressionReason.OPTED_OUT
            entries.append((event.lifts, Suppression(event.channel, address, reason, event_id, at)))
            for contact_id in _contacts(connection, event.channel, address, recipient):
                _record_consent(connection, contact_id, event, event_id)
    new = 0
    # Runs of equal kind, in the order of arrival: of STOP and START the later counts.
    for lifts, some in groupby(entries, key=lambda entry: entry[0]):
        rows = [entry for _, entry in some]
        if lifts:
            lift(connection, rows)
        else:
            new += suppress(connection, rows)
    return new, homeless


def _record_consent(connection: sa.Connection, contact_id: str, event: Event, event_id: str) -> None:
    """At the time of the event, not of now: a START that is taken in late must not outdo a newer STOP."""
    if event.lifts:
        if not _was_withdrawn_by_reply(connection, contact_id, event):
            return
        state = ConsentState.GRANTED
    elif event.suppress in WITHDRAWS_CONSENT:
        state = ConsentState.WITHDRAWN
    else:
        return
    record_consent(
        connection,
        contact_id,
        event.channel,
        state,
        source=REPLY if event.raw_type == "inbound" else f"{event.provider}:{event.raw_type}",
        at=event.occurred_at,
        evidence={"event_id": event_id, "run_id": event.run_id, "message_id": event.message_id},
    )


def _was_withdrawn_by_reply(connection: sa.Connection, contact_id: str, event: Event) -> bool:
    of_contact = sa.and_(
        consents.c.contact_id == contact_id,
        consents.c.channel == event.channel.value,
        consents.c.purpose == MARKETING,
    )
    newest = connection.execute(
        sa.select(consents.c.state, consents.c.source)
        .where(of_contact)
        .order_by(consents.c.recorded_at.desc(), consents.c.consent_id.desc())
        .limit(1)
    ).one_or_none()
    return newest is not None and newest.state == ConsentState.WITHDRAWN and newest.source == REPLY


def _contacts(connection: sa.Connection, channel: Channel, address: str, recipient: Recipient | None) -> list[str]:
    """The contact that the message went to; where no message is known, all who have the address now."""
    if recipient:
        return [recipient.contact_id]
    column = contacts.c.email if channel is Channel.EMAIL else contacts.c.phone
    query = sa.select(contacts.c.contact_id).where(column == address).order_by(contacts.c.contact_id)
    return list(connection.execute(query).scalars())


def _known_sources(connection: sa.Connection, event_ids: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(event_ids), _KEYS):
        some = event_ids[start : start + _KEYS]
        query = sa.select(suppressions.c.source).where(suppressions.c.source.in_(some))
        known |= set(connection.execute(query).scalars())
    return known
