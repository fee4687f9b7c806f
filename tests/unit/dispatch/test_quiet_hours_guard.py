"""Quiet hours at the claim: a closed window waits, one that opens too late ends, a provider's refusal rests."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import outcomes
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.channels.base import Message
from campaign_pipeline.dispatch.guards.quiet_hours import InQuietHours
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.worker import Sent, send_due

RUN = "spring-sale--20260302t090000z"
NEW_YORK = "Mo-Su 08:00-20:00 @ America/New_York"
Send = Callable[..., Sent]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def send(db: sa.Engine, lake: Lake, channel: Any) -> Send:
    """A worker with a guard of its own, as a new process has it, at the given time."""

    def call(now: str, *, keeps: bool = True, deadline: str | None = None) -> Sent:
        until = utc(deadline) if deadline else None
        guard = InQuietHours(db, RUN, keeps=keeps, deadline=until)
        patience = Patience(sleep=lambda _seconds: None)
        return send_due(
            db,
            lake,
            RUN,
            channel,
            worker=now,
            clock=lambda: utc(now),
            deadline=until,
            guards=[guard],
            patience=patience,
        )

    return call


def test_a_batch_whose_window_is_closed_waits_until_it_opens(
    plan: Callable[..., None], send: Send, channel: Any
) -> None:
    """Two batches are due: one contact's hour has passed because the worker was late."""
    plan(2, 1, window=[NEW_YORK, "Mo-Su 08:00-20:00 @ America/Los_Angeles"])
    late = send("2026-03-03T01:30")  # 20:30 in New York, 17:30 in Los Angeles
    assert [message.message_no for batch in channel.requests for message in batch.messages] == [1]
    assert (late.left, late.next_at) == (1, utc("2026-03-03T13:00"))
    assert send("2026-03-03T12:59:59").left == 1
    assert send("2026-03-03T13:00").left == 0
    assert sorted(number for number, _ in channel.processed) == [0, 1]


def test_a_message_whose_window_opens_after_the_deadline_expires_and_is_not_sent(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake
) -> None:
    plan(3, 3, window=[NEW_YORK] * 3)
    sent = send("2026-03-03T02:00", deadline="2026-03-03T12:59")
    assert (sent.left, channel.requests) == (0, [])
    assert account(db, lake, RUN).messages == {"expired": 3}
    with reading(db) as connection:
        assert set(connection.execute(sa.select(outcomes.c.code)).scalars()) == {"quiet_hours"}


def test_at_the_deadline_itself_it_is_still_sent(plan: Callable[..., None], send: Send, channel: Any) -> None:
    plan(1, 1, window=[NEW_YORK])
    assert send("2026-03-03T02:00", deadline="2026-03-03T13:00").next_at == utc("2026-03-03T13:00")
    assert send("2026-03-03T13:00", deadline="2026-03-03T13:00").left == 0
    assert len(channel.processed) == 1


def test_a_window_that_never_opens_ends_its_messages(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake
) -> None:
    plan(1, 1, window=["Mo-Su 09:00-12:00 @ Europe/Paris Pacific/Auckland"])
    send("2026-03-02T09:00")
    assert channel.requests == []
    assert account(db, lake, RUN).messages == {"expired": 1}


def test_a_channel_that_keeps_no_quiet_hours_sends_at_night(
    plan: Callable[..., None], send: Send, channel: Any
) -> None:
    plan(1, 1, window=[NEW_YORK])
    assert send("2026-03-03T05:00", keeps=False).left == 0
    assert len(channel.processed) == 1


def test_files_without_windows_are_sent_at_any_time(plan: Callable[..., None], send: Send, channel: Any) -> None:
    plan(2, 1)
    assert send("2026-03-03T05:00").left == 0


@pytest.mark.parametrize("keeps", [True, False])
def test_what_the_provider_refuses_for_quiet_hours_rests_and_is_tried_again(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake, keeps: bool
) -> None:
    """It knows of stricter hours. Each worker here is a process of its own: the ledger is what they share."""
    plan(4, 4, window=[NEW_YORK] * 4)
    channel.code = lambda _message: "30610"
    channel.answers = lambda message, _attempt: Kind.QUIET_HOURS if message.message_no == 2 else Kind.ACCEPTED
    first = send("2026-03-02T13:10", keeps=keeps)
    assert len(channel.requests) == 1  # not asked again in the same call
    assert (first.left, first.next_at) == (1, utc("2026-03-02T14:10"))
    assert send("2026-03-02T14:09", keeps=keeps).left == 1
    assert len(channel.requests) == 1
    channel.answers = lambda _message, _attempt: Kind.ACCEPTED
    assert send("2026-03-02T14:10", keeps=keeps).left == 0
    assert [len(batch.messages) for batch in channel.requests] == [4, 1]
    assert account(db, lake, RUN).messages == {"accepted": 4}


def test_a_whole_batch_that_was_refused_rests_too(plan: Callable[..., None], send: Send, channel: Any) -> None:
    plan(4, 2, window=[NEW_YORK] * 4)
    channel.code = lambda _message: "30047"
    channel.answers = lambda _message, _attempt: Kind.QUIET_HOURS
    assert send("2026-03-03T00:30").next_at == utc("2026-03-03T13:00")  # 20:30 after an hour: our window is closed
    assert len(channel.requests) == 2
    assert send("2026-03-03T00:45").left == 4
    assert len(channel.requests) == 2


def test_of_a_batch_with_a_refused_message_nothing_is_tried_again_before_it_may(
    plan: Callable[..., None], send: Send, channel: Any
) -> None:
    """Another attempt covers all messages of the batch that are open, so the throttled ones wait as well."""
    plan(2, 2, window=[NEW_YORK] * 2)
    channel.code = lambda message: "30610" if message.message_no == 0 else ""

    def answers(message: Message, _attempt: int) -> Kind:
        return Kind.QUIET_HOURS if message.message_no == 0 else Kind.THROTTLED

    channel.answers = answers
    assert send("2026-03-02T13:10").next_at == utc("2026-03-02T13:10") + timedelta(hours=1)
    assert len(channel.requests) == 1


def test_a_refusal_whose_rest_outlasts_the_deadline_ends_the_message(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake
) -> None:
    plan(1, 1, window=[NEW_YORK])
    channel.code = lambda _message: "30610"
    channel.answers = lambda _message, _attempt: Kind.QUIET_HOURS
    assert send("2026-03-02T13:10", deadline="2026-03-02T14:00").left == 0
    assert account(db, lake, RUN).messages == {"expired": 1}
    assert len(channel.requests) == 1
