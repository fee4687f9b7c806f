"""WhatsApp: free text within a conversation only, and no marketing by templates to the United States."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.tables import conversations
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch.channels.base import Batch, Message
from campaign_pipeline.dispatch.fallbacks import falls_back
from campaign_pipeline.dispatch.guards.base import CLEAR, LeftOut
from campaign_pipeline.dispatch.guards.session import MARGIN, SESSION, InSession
from campaign_pipeline.dispatch.guards.us_marketing import NoMarketingToUs
from campaign_pipeline.messages.skeleton import Skeleton
from campaign_pipeline.messages.skeletons import MessageSkeleton

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
FREE = MessageSkeleton((("body", Skeleton(("Hi",))),))
APPROVED = MessageSkeleton((("content_sid", Skeleton(("HX" + "1" * 32,))),))


def batch(skeleton: MessageSkeleton, *addresses: str) -> Batch:
    messages = tuple(Message(number, "", address, ()) for number, address in enumerate(addresses))
    return Batch("a--20260302t090000z", "a", "plain", 0, 1, skeleton, messages)


def wrote(engine: sa.Engine, address: str, ago: timedelta, channel: Channel = Channel.WHATSAPP) -> None:
    row = {"channel": channel.value, "address": address, "last_inbound_at": NOW - ago}
    with writing(engine) as connection:
        connection.execute(sa.insert(conversations).values(row))


def test_free_text_goes_to_those_who_wrote_within_a_day(db: sa.Engine) -> None:
    wrote(db, "+491", timedelta())
    wrote(db, "+492", SESSION - MARGIN - timedelta(seconds=1))
    wrote(db, "+493", SESSION - MARGIN)
    wrote(db, "+494", timedelta(), Channel.SMS)
    found = InSession(db).look(batch(FREE, "+491", "+492", "+493", "+494", "+495"), NOW)
    assert found.left_out == tuple(LeftOut(n, Outcome.SUPPRESSED, "session_closed") for n in (2, 3, 4))


def test_approved_templates_need_no_conversation(db: sa.Engine) -> None:
    assert InSession(db).look(batch(APPROVED, "+491"), NOW) == CLEAR


def test_no_marketing_templates_to_the_united_states() -> None:
    people = "+12125550100", "+14165550100", "+491"
    guard = NoMarketingToUs()
    found = guard.look(batch(APPROVED, *people), NOW)
    assert found.left_out == (LeftOut(0, Outcome.SUPPRESSED, "whatsapp_us_marketing"),)
    assert guard.look(batch(FREE, *people), NOW) == CLEAR


@pytest.mark.parametrize("code", ["session_closed", "whatsapp_us_marketing"])
def test_another_channel_may_reach_those_who_are_left_out(code: str) -> None:
    assert falls_back(code)
