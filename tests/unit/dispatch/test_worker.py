"""The worker: sends what is due and open, once, and stops where it must."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts.suppression import active_suppressions
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import Halted, Inconsistent
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import suppressions
from campaign_pipeline.core.words import Channel, Outcome, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.guards.suppressed import NotSuppressed
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.reconcile import settle_by_events, settle_doubts
from campaign_pipeline.dispatch.states import SETTLING
from campaign_pipeline.dispatch.worker import Sent, send_due

RUN = "spring-sale--20260302t090000z"
Send = Callable[..., Sent]


class Killed(BaseException):
    """As kill -9: nothing catches it."""


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def now() -> list[Any]:
    """The worker's clock: a list of one moment, so that a test can move it."""
    return [datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)]


@pytest.fixture
def send(db: sa.Engine, lake: Lake, channel: Any, pauses: list[float], now: list[Any]) -> Send:
    def call(suppressed: set[str] = frozenset(), **options: Any) -> Sent:
        options |= {"guards": [NotSuppressed(db, channel.name, lambda: suppressed)]}
        options = {"worker": "test", "clock": lambda: now[0], "patience": Patience(sleep=pauses.append)} | options
        return send_due(db, lake, RUN, channel, **options)

    return call


def counts(db: sa.Engine, lake: Lake) -> dict[str, int]:
    return dict(account(db, lake, RUN).messages)


def test_everything_is_sent_once_and_a_second_call_sends_nothing(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake
) -> None:
    plan(25, 10)
    seen: list[tuple[int, int]] = []
    first = send(progress=lambda done, total: seen.append((done, total)))
    assert first == Sent(first.outcomes, 0, None)
    assert dict(first.outcomes) == {Outcome.ACCEPTED: 25}
    assert [len(batch.messages) for batch in channel.requests] == [10, 10, 5]
    assert seen == [(10, 25), (20, 25), (25, 25)]
    second = send()
    assert (second.outcomes.total(), second.left) == (0, 0)
    assert len(channel.processed) == 25
    assert counts(db, lake) == {"accepted": 25}
    assert str(first) == "25 accepted; 0 left"
    assert str(second) == "nothing to send; 0 left"


def test_several_sender_threads_send_everything_once(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake
) -> None:
    plan(300, 10)
    assert send(senders=4).outcomes == {Outcome.ACCEPTED: 300}
    assert sorted(number for number, _ in channel.processed) == list(range(300))
    assert counts(db, lake) == {"accepted": 300}


def test_only_what_is_due_is_sent(plan: Callable[..., None], send: Send, channel: Any, now: list[Any]) -> None:
    late = now[0] + timedelta(hours=1)
    plan(4, 2, send_at=[now[0], now[0], late, late])
    assert send().left == 2
    assert [number for number, _ in channel.processed] == [0, 1]
    now[0] = late
    assert send().left == 0
    assert [number for number, _ in channel.processed] == [0, 1, 2, 3]


def test_who_was_suppressed_since_the_freeze_gets_nothing(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake
) -> None:
    plan(3, 3, address=["a@example.com", "B@Example.com", "c@example.com"])
    assert dict(send(suppressed={"b@example.com"}).outcomes) == {Outcome.ACCEPTED: 2, Outcome.SUPPRESSED: 1}
    assert [number for number, _ in channel.processed] == [0, 2]
    assert counts(db, lake) == {"accepted": 2, "suppressed": 1}


def test_a_batch_of_suppressed_addresses_makes_no_request(plan: Callable[..., None], send: Send, channel: Any) -> None:
    plan(1, 1)
    assert dict(send(suppressed={"user0@example.com"}).outcomes) == {Outcome.SUPPRESSED: 1}
    assert channel.requests == []


def test_a_crash_between_claim_and_outcome_leaves_doubts_that_are_never_resent(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake, now: list[Any]
) -> None:
    plan(6, 2)

    def kill(batch: Any) -> None:
        if batch.batch_no == 1:
            raise Killed

    channel.after = kill
    with pytest.raises(Killed):
        send(suppressed={"user3@example.com"})
    channel.after = lambda _batch: None
    assert dict(send().outcomes) == {Outcome.ACCEPTED: 2}
    assert send().outcomes.total() == 0
    assert [number for number, _ in channel.processed] == [0, 1, 2, 4, 5]
    # The suppressed one was recorded with the claim: no doubt about it.
    assert counts(db, lake) == {"accepted": 4, "in_doubt": 1, "suppressed": 1}
    fresh = account(db, lake, RUN, now[0])
    assert (fresh.in_flight, fresh.in_doubt, fresh.pending) == (1, 0, 0)


def test_a_channel_that_forgets_a_message_leaves_it_in_doubt(
    plan: Callable[..., None], send: Send, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(2, 2)
    whole = channel.send
    monkeypatch.setattr(channel, "send", lambda batch: whole(batch)[:1])
    assert dict(send().outcomes) == {Outcome.ACCEPTED: 1, Outcome.IN_DOUBT: 1}


@pytest.mark.parametrize("kind", [Kind.NOT_CONNECTED, Kind.THROTTLED])
def test_what_was_not_processed_is_tried_again_with_growing_pauses(
    kind: Kind, plan: Callable[..., None], send: Send, channel: Any, pauses: list[float]
) -> None:
    plan(2, 2)
    channel.answers = lambda message, attempt: kind if attempt < 4 and message.message_no == 1 else Kind.ACCEPTED
    assert dict(send().outcomes) == {Outcome.ACCEPTED: 2}
    assert channel.processed == [(0, 1), (1, 4)]
    assert pauses == [0.5, 0.5, 1.0]


def test_after_too_many_tries_the_rest_is_left_for_a_later_call(
    plan: Callable[..., None], send: Send, channel: Any, pauses: list[float], db: sa.Engine, lake: Lake
) -> None:
    plan(1, 1)
    channel.answers = lambda _message, _attempt: Kind.NOT_CONNECTED
    assert send(patience=Patience(tries=3, sleep=pauses.append)).left == 1
    assert len(channel.requests) == 3
    assert counts(db, lake) == {"not_sent": 1}
    channel.answers = lambda _message, _attempt: Kind.ACCEPTED
    assert dict(send().outcomes) == {Outcome.ACCEPTED: 1}
    assert channel.processed == [(0, 4)]


def test_a_provider_s_wish_to_wait_is_honoured_or_the_batch_is_left(
    plan: Callable[..., None], send: Send, channel: Any, pauses: list[float]
) -> None:
    plan(1, 1)
    channel.answers = lambda _message, attempt: Kind.THROTTLED if attempt == 1 else Kind.ACCEPTED
    channel.retry_after = 30.0
    assert send().left == 0
    assert pauses == [30.0]
    assert Patience().pause(1, 3600.0) is None


def test_a_request_that_is_too_large_is_split(
    plan: Callable[..., None], send: Send, channel: Any, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    plan(8, 8)
    whole = channel.send

    def small(batch: Any) -> Any:
        channel.answers = lambda _m, _a: Kind.TOO_LARGE if len(batch.messages) > 2 else Kind.ACCEPTED
        return whole(batch)

    monkeypatch.setattr(channel, "send", small)
    assert dict(send().outcomes) == {Outcome.ACCEPTED: 8}
    assert [len(batch.messages) for batch in channel.requests] == [8, 4, 4, 2, 2, 2, 2]
    assert pauses == []


@pytest.mark.parametrize(("kind", "left"), [(Kind.CONFIG, 6), (Kind.CONTENT, 6), (Kind.BODY, 4)])
def test_a_refused_account_or_content_halts_and_can_be_taken_up(
    kind: Kind, left: int, plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake
) -> None:
    plan(6, 2)
    channel.answers = lambda _message, _attempt: kind
    with pytest.raises(Halted, match=rf"{RUN}: sendgrid answered {kind.value}: ") as halted:
        send(senders=2)
    assert "example.com" not in str(halted.value)
    assert account(db, lake, RUN).pending >= left - 2  # the other thread may have claimed one more
    channel.answers = lambda _message, _attempt: Kind.ACCEPTED
    assert send().left == 0


def test_a_hard_address_is_suppressed_for_its_channel(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine
) -> None:
    plan(2, 2, address=["a@example.com", "B@Example.com"])
    channel.answers = lambda message, _a: Kind.HARD_ADDRESS if message.message_no else Kind.OPTED_OUT
    assert dict(send().outcomes) == {Outcome.REJECTED: 2}
    with reading(db) as connection:
        assert active_suppressions(connection, Channel.EMAIL).rows() == [
            ("a@example.com", "opted_out"),
            ("b@example.com", "hard_bounce"),
        ]
        sources = connection.execute(sa.select(suppressions.c.source)).scalars().all()
    assert not any("example.com" in source for source in sources)


def test_pausing_ends_the_call_before_the_next_claim(plan: Callable[..., None], send: Send, channel: Any) -> None:
    plan(6, 2)
    asked = iter([None, None, RunState.PAUSED, RunState.PAUSED])
    paused = send(stopped=lambda: next(asked))
    assert (paused.left, paused.ended_by) == (4, RunState.PAUSED)
    assert str(paused) == "2 accepted; 4 left (paused)"
    assert send().left == 0
    assert len(channel.processed) == 6


def test_cancelling_ends_every_message_that_was_not_sent(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake, now: list[Any]
) -> None:
    plan(6, 2, send_at=[now[0]] * 4 + [now[0] + timedelta(days=1)] * 2)

    def stopped() -> RunState | None:
        return RunState.CANCELLED if channel.requests else None

    cancelled = send(stopped=stopped)
    assert dict(cancelled.outcomes) == {Outcome.ACCEPTED: 2, Outcome.CANCELLED: 4}
    assert (cancelled.left, cancelled.ended_by) == (0, RunState.CANCELLED)
    assert counts(db, lake) == {"cancelled": 4, "accepted": 2}


def test_after_the_deadline_nothing_is_sent_and_what_is_open_expires(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake, now: list[Any]
) -> None:
    plan(4, 2)
    expired = send(deadline=now[0] - timedelta(seconds=1))
    assert dict(expired.outcomes) == {Outcome.EXPIRED: 4}
    assert channel.requests == []
    assert counts(db, lake) == {"expired": 4}


def test_messages_that_were_changed_after_planning_are_not_sent(
    plan: Callable[..., None], send: Send, channel: Any, lake: Lake
) -> None:
    plan(2, 2)
    lake.write(lake.read("messages", RUN).with_columns(address=pl.lit("x@example.com")), "messages", RUN)
    with pytest.raises(Inconsistent, match="are not those that were planned"):
        send()
    assert channel.requests == []


def test_doubts_are_settled_by_lookup_once_they_are_old_enough(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake, now: list[Any]
) -> None:
    plan(4, 2)
    channel.answers = lambda message, _attempt: Kind.NO_ANSWER if message.message_no < 2 else Kind.ACCEPTED
    send()
    channel.processed.remove((1, 1))
    assert settle_doubts(db, lake, RUN, channel, now[0]).doubts == 2  # answered: no need to wait
    assert counts(db, lake) == {"accepted": 3, "in_doubt": 1}
    again = settle_doubts(db, lake, RUN, channel, now[0] + SETTLING)
    assert (again.doubts, again.found) == (1, 0)


def test_events_prove_what_was_processed(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake, now: list[Any]
) -> None:
    plan(4, 4)
    kinds = [Kind.NO_ANSWER, Kind.NO_ANSWER, Kind.ACCEPTED, Kind.UNKNOWN]
    channel.answers = lambda message, _attempt: kinds[message.message_no]
    send()
    ids = [f"{number:024x}" for number in (0, 0, 2, 3, 99)]
    proofs = pl.DataFrame({"message_id": ids, "provider_id": ["sg-0", "sg-0b", "sg-2", "sg-3", "sg-99"]})
    assert settle_by_events(db, lake, RUN, proofs, now[0]) == 1
    assert settle_by_events(db, lake, RUN, proofs, now[0]) == 0
    assert counts(db, lake) == {"accepted": 2, "in_doubt": 1, "rejected": 1}


def test_a_message_that_seemed_not_sent_is_not_sent_again_once_an_event_names_it(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake, now: list[Any]
) -> None:
    plan(1, 1)
    channel.answers = lambda _message, _attempt: Kind.NOT_CONNECTED
    send(patience=Patience(tries=1))
    proofs = pl.DataFrame({"message_id": ["0" * 24], "provider_id": ["sg"], "attempt": [1]})
    assert settle_by_events(db, lake, RUN, proofs, now[0]) == 1
    assert send().left == 0
    assert len(channel.requests) == 1
    assert counts(db, lake) == {"accepted": 1}


def test_the_account_counts_everybody_of_the_audience_once(
    plan: Callable[..., None], send: Send, db: sa.Engine, lake: Lake
) -> None:
    plan(3, 3)
    statuses = ["planned"] * 3 + ["held_out"] * 2 + ["suppressed"] + ["no_consent"]
    lake.write(pl.DataFrame({"contact_id": list("abcdefg"), "status": statuses}), "audience", RUN)
    before = account(db, lake, RUN)
    assert (before.planned, before.pending, before.state) == (3, 3, RunState.RUNNING)
    send()
    found = account(db, lake, RUN)
    assert found.counts() == {"accepted": 3, "pending": 0, "held_out": 2, "suppressed_before": 1, "no_consent": 1}
    assert sum(found.counts().values()) == len(statuses)
    assert found.as_frame().rows()[0] == ("accepted", 3)


def test_an_audience_that_does_not_fit_the_plan_is_inconsistent(
    plan: Callable[..., None], db: sa.Engine, lake: Lake
) -> None:
    plan(3, 3)
    lake.write(pl.DataFrame({"contact_id": ["a"], "status": ["planned"]}), "audience", RUN)
    with pytest.raises(Inconsistent, match="the audience plans 1 messages, the ledger 3"):
        account(db, lake, RUN)


def test_outcomes_that_cannot_be_are_inconsistent(
    plan: Callable[..., None], send: Send, db: sa.Engine, lake: Lake, now: list[Any]
) -> None:
    plan(2, 2)
    send()

    def add(message_no: int, attempt: int) -> None:
        source = ledger.Source.SEND
        row = ledger.OutcomeRow(RUN, message_no, attempt, source, Outcome.ACCEPTED, "", "x", now[0])
        ledger.append_outcomes(db, [row])

    add(0, 2)
    with pytest.raises(Inconsistent, match="outcomes were recorded that nobody claimed; messages were accepted twice"):
        account(db, lake, RUN)
    add(5, 1)
    with pytest.raises(Inconsistent, match="messages have outcomes that do not exist"):
        account(db, lake, RUN)


def test_most_of_a_request_is_one_row_of_the_ledger(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake
) -> None:
    plan(10, 5)
    channel.answers = lambda message, _attempt: Kind.HARD_ADDRESS if message.message_no == 3 else Kind.NO_ANSWER
    send(suppressed={"user7@example.com"})
    with reading(db) as connection:
        held = ledger.read_ledger(connection, RUN)
    assert held.batch_outcomes.select("batch_no", "attempt", "source", "outcome").sort("batch_no").rows() == [
        (0, 1, "send", "in_doubt"),
        (1, 1, "send", "in_doubt"),
    ]
    assert held.outcomes.select("message_no", "source", "outcome").sort("message_no").rows() == [
        (3, "send", "rejected"),
        (7, "policy", "suppressed"),
    ]
    assert counts(db, lake) == {"in_doubt": 8, "rejected": 1, "suppressed": 1}


def test_an_attempt_that_covers_only_some_of_a_batch_speaks_of_each(
    plan: Callable[..., None], send: Send, channel: Any, db: sa.Engine, lake: Lake
) -> None:
    plan(4, 4)
    channel.answers = lambda message, attempt: (
        Kind.THROTTLED if attempt == 1 and message.message_no > 1 else Kind.ACCEPTED
    )
    send()
    with reading(db) as connection:
        held = ledger.read_ledger(connection, RUN)
    assert held.outcomes.filter(pl.col("attempt") == 2)["message_no"].sort().to_list() == [2, 3]
    assert held.batch_outcomes["attempt"].to_list() == [1]
    assert counts(db, lake) == {"accepted": 4}
