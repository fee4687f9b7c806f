"""Fixtures of the event tests."""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.events.inbox import Inbox

sys.path.insert(0, str(Path(__file__).parent))  # the helper beside this file

from payloads import (
    ANN,
    ANN_EMAIL,
    ANN_PHONE,
    BOB,
    BOB_EMAIL,
    BOB_PHONE,
    NOW,
    RUN,
    SMS_RUN,
    Request,
    add_run,
)

Receive = Callable[..., None]


@pytest.fixture
def receive_requests(settings: Settings) -> Receive:
    """`receive_requests((provider, kind, query, body), ..., at=NOW)`: into one file of the inbox."""

    def put(*requests: Request, at: datetime = NOW) -> None:
        async def append() -> None:
            await asyncio.gather(*(inbox.append(*request) for request in requests))

        with Inbox(settings.inbox_dir, lambda: at) as inbox:
            asyncio.run(append())

    return put


@pytest.fixture
def sent(engine: sa.Engine, lake: Lake) -> None:
    """An e-mail run and, a day later, an SMS run, accepted for both contacts."""
    with writing(engine) as connection:
        people = [(ANN, ANN_EMAIL, ANN_PHONE), (BOB, BOB_EMAIL, BOB_PHONE)]
        for contact, email, phone in people:
            row = {"contact_id": contact, "external_id": contact, "email": email, "phone": phone, "attributes": {}}
            connection.execute(sa.insert(contacts).values(row | {"created_at": NOW, "updated_at": NOW}))
        for run_id, campaign, channel, addresses, at in (
            (RUN, "spring-sale", "email", (ANN_EMAIL, BOB_EMAIL), datetime(2026, 3, 2, 9, tzinfo=UTC)),
            (SMS_RUN, "flash", "sms", (ANN_PHONE, BOB_PHONE), datetime(2026, 3, 3, 9, tzinfo=UTC)),
        ):
            add_run(connection, lake, run_id, campaign, channel, addresses, at)
