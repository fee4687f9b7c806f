"""What a contact wants to hear about and where: its consent by topic (purpose) and channel, as its own page has it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from campaign_pipeline.contacts.addresses import ADDRESS_COLUMN
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.contacts.suppression import Suppression, lift
from campaign_pipeline.core.tables import consents, contacts
from campaign_pipeline.core.words import Channel, ConsentState, SuppressionReason

PREFERENCES = "preferences"
"""Source of consent that a contact gave or withdrew on its page."""


@dataclass(frozen=True, order=True)
class Preference:
    topic: str
    channel: Channel
    state: ConsentState


def preferences_of(connection: sa.Connection, contact_id: str) -> list[Preference]:
    """Every topic and channel that the contact, or an import, ever said something of; sorted."""
    said = (
        sa.select(consents.c.purpose, consents.c.channel, consents.c.state)
        .where(consents.c.contact_id == contact_id)
        .order_by(consents.c.recorded_at, consents.c.consent_id)
    )
    newest = {(topic, channel): state for topic, channel, state in connection.execute(said)}
    return sorted(Preference(topic, Channel(name), ConsentState(state)) for (topic, name), state in newest.items())


def change_preferences(
    connection: sa.Connection,
    contact_id: str,
    wanted: Collection[Preference],
    *,
    by: Channel,
    at: datetime,
    source_id: str,
    evidence: Mapping[str, Any],
) -> int:
    """Append what differs from the present; how many entries that were. `source_id`: what asked for it.

    `by`: the channel of the message with the link, which proves that the contact has that address, and no other. On
    other channels it can give back only what it had said before; what is not confirmed there stays so.

    Whoever wants to hear again on a channel takes back an earlier use of an unsubscribe link there. An opt-out by STOP,
    a complaint and a bounce stay.
    """
    present = {(each.topic, each.channel): each.state for each in preferences_of(connection, contact_id)}
    new = [each for each in wanted if _may_change(present.get((each.topic, each.channel)), each, by)]
    for each in new:
        record_consent(
            connection,
            contact_id,
            each.channel,
            each.state,
            source=PREFERENCES,
            at=at,
            purpose=each.topic,
            evidence=evidence,
        )
    regained = {each.channel for each in new if each.state is ConsentState.GRANTED}
    lift(connection, _unsubscriptions(connection, contact_id, regained, at, source_id))
    return len(new)


def _may_change(present: ConsentState | None, wanted: Preference, by: Channel) -> bool:
    if present == wanted.state:
        return False
    return wanted.state is ConsentState.WITHDRAWN or wanted.channel is by or present is ConsentState.WITHDRAWN


def _unsubscriptions(
    connection: sa.Connection, contact_id: str, channels: Collection[Channel], at: datetime, source_id: str
) -> list[Suppression]:
    query = sa.select(contacts).where(contacts.c.contact_id == contact_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return []
    addresses = {channel: row[ADDRESS_COLUMN[channel]] for channel in sorted(channels)}
    return [
        Suppression(channel, address, SuppressionReason.UNSUBSCRIBED, source_id, at)
        for channel, address in addresses.items()
        if address
    ]
