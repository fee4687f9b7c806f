"""Inbound WhatsApp messages open a window of a day: the newest counts, in whatever order they come."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from payloads import ANN_PHONE, BOB_PHONE, NOW, twilio_inbound

from campaign_pipeline.contacts.suppression import suppress_erased
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import conversations
from campaign_pipeline.core.words import Channel, EventType
from campaign_pipeline.events.conversations import note_conversations
from campaign_pipeline.events.event import Event
from campaign_pipeline.events.ingest import receive

HOUR = timedelta(hours=1)


def held(engine: sa.Engine) -> list[tuple[str, str, datetime]]:
    with reading(engine) as connection:
        rows = connection.execute(sa.select(conversations).order_by(conversations.c.address))
        return [(row.channel, row.address, row.last_inbound_at) for row in rows]


def wrote(address: str, at: datetime, channel: Channel = Channel.WHATSAPP) -> Event:
    return Event("twilio", channel, EventType.REPLIED, "inbound", at, at, ("inbound", f"{at}"), address=address)


def note(engine: sa.Engine, settings: Settings, *events: Event, now: datetime = NOW) -> None:
    with writing(engine) as connection:
        note_conversations(connection, events, now, settings.link_secret)


@pytest.mark.usefixtures("sent")
def test_the_inbox_opens_windows(engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any) -> None:
    now = datetime.now(NOW.tzinfo).replace(microsecond=0)
    receive_requests(
        twilio_inbound("Hi", f"whatsapp:{ANN_PHONE}", "SMin1"), twilio_inbound("Hi", BOB_PHONE, "SMin2"), at=now
    )
    receive(engine, lake, settings)
    assert held(engine) == [("whatsapp", ANN_PHONE, now)]  # there are no windows of SMS


def test_the_newest_counts_in_any_order(engine: sa.Engine, settings: Settings) -> None:
    note(engine, settings, wrote(ANN_PHONE, NOW - HOUR), wrote(ANN_PHONE, NOW), wrote(ANN_PHONE, NOW - 2 * HOUR))
    assert held(engine) == [("whatsapp", ANN_PHONE, NOW)]
    note(engine, settings, wrote(ANN_PHONE, NOW - 3 * HOUR))
    assert held(engine) == [("whatsapp", ANN_PHONE, NOW)]
    note(engine, settings, wrote(ANN_PHONE, NOW + HOUR))
    assert held(engine) == [("whatsapp", ANN_PHONE, NOW + HOUR)]


def test_closed_windows_and_erased_numbers_are_not_kept(engine: sa.Engine, settings: Settings) -> None:
    with writing(engine) as connection:
        suppress_erased(connection, [(Channel.WHATSAPP, BOB_PHONE)], settings.link_secret, NOW)
    note(engine, settings, wrote(ANN_PHONE, NOW), wrote(BOB_PHONE, NOW))
    assert [address for _, address, _ in held(engine)] == [ANN_PHONE]
    note(engine, settings, now=NOW + 24 * HOUR)
    assert held(engine) == []


def test_on_postgresql_the_newest_counts_too(postgres_engine: sa.Engine, settings: Settings) -> None:
    note(postgres_engine, settings, wrote(ANN_PHONE, NOW), wrote(BOB_PHONE, NOW - HOUR))
    note(postgres_engine, settings, wrote(ANN_PHONE, NOW - HOUR), wrote(BOB_PHONE, NOW))
    assert held(postgres_engine) == [("whatsapp", ANN_PHONE, NOW), ("whatsapp", BOB_PHONE, NOW)]
