"""What the receiver kept is taken in on PostgreSQL as on SQLite."""

import asyncio
from datetime import UTC, datetime
from urllib.parse import urlencode

import sqlalchemy as sa

from campaign_pipeline.contacts.suppression import active_suppressions
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel
from campaign_pipeline.events.inbox import Inbox
from campaign_pipeline.events.ingest import Received, pending_bytes, receive

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)


def test_stop_and_start_on_postgresql(postgres_engine: sa.Engine, lake: Lake, settings: Settings) -> None:
    async def append(inbox: Inbox) -> None:
        for sid, text, sender in (
            ("SM1", "STOP", "+12025550101"),
            ("SM2", "STOP", "+12025550102"),
            ("SM3", "START", "+12025550102"),
        ):
            body = urlencode({"MessageSid": sid, "From": sender, "Body": text}).encode()
            await inbox.append("twilio", "inbound", {}, body)

    with Inbox(settings.inbox_dir, lambda: NOW) as inbox:
        asyncio.run(append(inbox))
    received = receive(postgres_engine, lake, settings)
    assert (received.events, received.suppressed, received.rejected) == (3, 2, 0)
    with reading(postgres_engine) as connection:
        assert active_suppressions(connection, Channel.SMS).rows() == [("+12025550101", "opted_out")]
    assert receive(postgres_engine, lake, settings) == Received()
    assert pending_bytes(postgres_engine, settings.inbox_dir).pending == 0
