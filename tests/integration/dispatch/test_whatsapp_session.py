"""A contact writes on WhatsApp: free text goes out to it for a day, through the sandbox, and then no more."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import sqlalchemy as sa

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import claims, metadata, outcomes
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch.channels import open_channel
from campaign_pipeline.dispatch.guards.session import InSession
from campaign_pipeline.dispatch.worker import Sent, send_due
from campaign_pipeline.events.inbox import Inbox
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.sandbox.ground_truth import text_hash
from campaign_pipeline.sandbox.server import SandboxServer

RUN = "spring-sale--20260302t090000z"


def wrote(settings: Settings, number: str, at: datetime) -> None:
    """As the receiver puts it into the inbox."""
    form = {
        "MessageSid": "SM" + "b" * 32,
        "From": f"whatsapp:{number}",
        "To": "whatsapp:+15005550007",
        "Body": "Hello?",
    }

    async def append() -> None:
        await inbox.append("twilio", "inbound", {}, urlencode(form).encode())

    with Inbox(settings.inbox_dir, lambda: at) as inbox:
        asyncio.run(append())


def send(engine: sa.Engine, lake: Lake, settings: Settings, now: datetime) -> Sent:
    with open_channel(Channel.WHATSAPP, settings) as channel:
        guards = [InSession(engine)]
        return send_due(engine, lake, RUN, channel, worker="test", clock=lambda: now, guards=guards)


def test_free_text_goes_out_for_a_day(
    engine: sa.Engine, lake: Lake, to_sandbox: Settings, sandbox: SandboxServer,
    plan_messages: Callable[[str, int, int], None],
) -> None:  # fmt: skip
    now = datetime.now(UTC).replace(microsecond=0)
    plan_messages("sms", 3, 3)  # texts without a content template are free text on WhatsApp
    wrote(to_sandbox, "+12125550001", now)
    receive(engine, lake, to_sandbox)
    assert dict(send(engine, lake, to_sandbox, now).outcomes) == {Outcome.ACCEPTED: 1, Outcome.SUPPRESSED: 2}
    sends = sandbox.sends()
    assert sends.select("channel", "body_hash").rows() == [("whatsapp", text_hash("Hi Ann1, 10% off today."))]
    with reading(engine) as connection:
        query = sa.select(outcomes.c.message_no, outcomes.c.code).where(outcomes.c.outcome == Outcome.SUPPRESSED)
        assert sorted(map(tuple, connection.execute(query))) == [(0, "session_closed"), (2, "session_closed")]
    with writing(engine) as connection:  # the same run as if it had not begun
        for table in (claims, outcomes, metadata.tables["batch_outcomes"]):
            connection.execute(sa.delete(table))
    assert dict(send(engine, lake, to_sandbox, now + timedelta(hours=24)).outcomes) == {Outcome.SUPPRESSED: 3}
    assert sandbox.sends().height == 1
