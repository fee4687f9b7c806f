"""What is done about messages in doubt: when they are asked about, what ends them, and who counts more."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import state_changes
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.account import RunAccount, account
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels.base import Capabilities
from campaign_pipeline.dispatch.covers import as_text, numbers_of
from campaign_pipeline.dispatch.decide import Decided, decide, resolve
from campaign_pipeline.dispatch.doubts import Rules, next_look, read_doubts, read_lookups, resolved_in
from campaign_pipeline.dispatch.guards.suppressed import NotSuppressed
from campaign_pipeline.dispatch.ledger import BatchOutcome, Source
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.reconcile import Settled, settle_by_events, settle_doubts
from campaign_pipeline.dispatch.states import states
from campaign_pipeline.dispatch.worker import Sent, send_due

RUN = "spring-sale--20260302t090000z"
START = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LOSE = Rules(settling=5 * MINUTE, window=HOUR, never_lose=True, channel="email").asking(["email"])
KEEP = Rules(settling=5 * MINUTE, window=HOUR, channel="email").asking(["email"])


class Killed(BaseException):
    """As kill -9."""


class Run:
    """A planned run of one batch, a provider, and a clock."""

    def __init__(self, engine: sa.Engine, lake: Lake, channel: Any) -> None:
        self.engine, self.lake, self.channel, self.now = engine, lake, channel, START

    def send(self, *suppressed: int) -> Sent:
        addresses = {f"user{number}@example.com" for number in suppressed}
        return send_due(
            self.engine, self.lake, RUN, self.channel, worker="w", clock=lambda: self.now,
            guards=[NotSuppressed(self.engine, Channel.EMAIL, lambda: addresses)],
            patience=Patience(tries=1, sleep=lambda _seconds: None),
        )  # fmt: skip

    def answers(self, *kinds: Kind) -> None:
        self.channel.answers = lambda message, _attempt: kinds[message.message_no]

    def killed(self) -> None:
        """Sent, and the worker is killed before it writes the answers down."""

        def kill(_batch: Any) -> None:
            raise Killed

        self.channel.after = kill
        with pytest.raises(Killed):
            self.send()
        self.channel.after = lambda _batch: None

    def settle(self, rules: Rules) -> Settled:
        return settle_doubts(self.engine, self.lake, RUN, self.channel, self.now, rules)

    def decide(self, rules: Rules, **options: Any) -> Decided:
        self.settle(rules)
        return decide(self.engine, self.lake, RUN, self.now, rules, **options)

    def event(self, number: int, attempt: int | None = None) -> int:
        proof = {"message_id": [f"{number:024x}"], "provider_id": [f"id-{number}-{attempt or 1}"], "attempt": [attempt]}
        frame = pl.DataFrame(proof, schema_overrides={"attempt": pl.Int64})
        return settle_by_events(self.engine, self.lake, RUN, frame, self.now)

    def says(self, verdict: Outcome, *numbers: int, **options: Any) -> int:
        ids = [f"{number:024x}" for number in numbers]
        said = {"actor": "ann", "reason": "seen in the console", **options}
        return resolve(self.engine, self.lake, RUN, ids, verdict, self.now, **said)

    def held(self) -> ledger.Ledger:
        with reading(self.engine) as connection:
            return ledger.read_ledger(connection, RUN)

    def states(self) -> list[tuple[int, str, str]]:
        """(attempt, state, code) of each message."""
        index = BatchFile(self.lake, RUN).index()
        return states(index, self.held()).select("attempt", "state", "code").rows()

    def account(self) -> RunAccount:
        return account(self.engine, self.lake, RUN, self.now, 5 * MINUTE)

    def doubts(self, rules: Rules, *columns: str) -> list[tuple[Any, ...]]:
        return read_doubts(self.engine, self.lake, RUN, self.now, rules, given_up=True).select(columns).rows()

    def next_look(self, rules: Rules) -> datetime | None:
        return next_look(self.engine, self.lake, RUN, self.now, rules)


@pytest.fixture
def run(db: sa.Engine, lake: Lake, channel: Any, plan: Callable[..., None]) -> Run:
    plan(3, 3)
    return Run(db, lake, channel)


def test_a_doubt_is_asked_about_at_growing_intervals_and_once_more_when_its_window_ends(run: Run) -> None:
    run.answers(Kind.ACCEPTED, Kind.DELIVERY_UNKNOWN, Kind.ACCEPTED)
    run.send()
    asked = []
    while (look := run.next_look(KEEP)) is not None:
        run.now = look
        if run.settle(KEEP).asked:
            asked.append((run.now - START) / MINUTE)
        decide(run.engine, run.lake, RUN, run.now, KEEP)
    assert asked == [0, 5, 10, 20, 40, 60]
    with reading(run.engine) as connection:
        kept = read_lookups(connection, RUN)
    assert set(kept["finding"]) == {"absent"}
    assert set(kept.select("message_no", "attempt").rows()) == {(1, 1)}
    assert run.states()[1] == (1, "unknown", "window_passed")
    assert run.doubts(KEEP, "state", "asked", "finding", "decided_at", "look_at") == [
        ("unknown", 6, "absent", START + HOUR, None)
    ]


def test_a_claim_without_an_answer_is_no_doubt_until_it_has_settled(run: Run) -> None:
    run.killed()
    assert run.settle(KEEP) == Settled(0, 0, 0)
    assert run.next_look(KEEP) == START + 5 * MINUTE
    run.channel.processed.remove((1, 1))
    run.now = START + 5 * MINUTE
    assert run.settle(KEEP) == Settled(doubts=3, found=2, asked=3)
    assert run.states() == [(1, "accepted", ""), (1, "in_doubt", ""), (1, "accepted", "")]
    assert run.settle(KEEP) == Settled(doubts=1, found=0, asked=0)  # not due yet
    assert run.next_look(KEEP) == START + 10 * MINUTE


def test_what_cannot_be_asked_about_waits_for_its_window(run: Run) -> None:
    run.answers(Kind.NO_ANSWER, Kind.ACCEPTED, Kind.ACCEPTED)
    run.send()
    silent = KEEP.asking([])
    assert run.next_look(silent) == START + HOUR
    assert decide(run.engine, run.lake, RUN, START + HOUR - MINUTE, silent) == Decided()
    assert decide(run.engine, run.lake, RUN, START + HOUR, silent) == Decided(given_up=1)
    assert run.next_look(silent) is None


@pytest.mark.parametrize(
    ("rules", "asked"),
    [
        (Rules(), 2),
        (Rules(held=True), 0),
        (Rules(ended=True), 0),
        (Rules(until=START - MINUTE), 0),
        (Rules(until=START), 2),
    ],
)
def test_where_asking_repeats_the_request_it_is_not_done_while_nothing_may_be_sent(
    run: Run, rules: Rules, asked: int
) -> None:
    run.answers(Kind.ACCEPTED, Kind.NO_ANSWER, Kind.NO_ANSWER)
    run.channel.capabilities = Capabilities(max_batch=1000, lookup=True, idempotent=True)
    run.send()
    assert run.settle(rules).asked == asked
    run.channel.capabilities = Capabilities(max_batch=1000, lookup=True)
    assert run.settle(rules) == Settled(2 - asked, 2 - asked, 2 - asked)  # a question that sends nothing is asked


def test_where_asking_repeats_the_request_who_must_not_be_written_to_is_left_alone(run: Run) -> None:
    run.answers(Kind.ACCEPTED, Kind.NO_ANSWER, Kind.NO_ANSWER)
    run.channel.capabilities = Capabilities(max_batch=1000, lookup=True, idempotent=True)
    run.send()
    unwanted = {"user1@example.com"}
    settled = settle_doubts(run.engine, run.lake, RUN, run.channel, run.now, KEEP, lambda: unwanted)
    assert settled == Settled(doubts=2, found=1, asked=2)
    assert run.doubts(KEEP, "message_no", "asked", "finding") == [(1, 1, "inconclusive")]
    assert run.states()[2] == (1, "accepted", "")


def test_never_duplicate_leaves_it_unknown_and_a_late_event_still_settles_it(run: Run) -> None:
    run.answers(Kind.ACCEPTED, Kind.DELIVERY_UNKNOWN, Kind.ACCEPTED)
    run.send()
    run.now += HOUR
    assert run.decide(KEEP) == Decided(given_up=1)
    assert run.decide(KEEP) == Decided()
    assert run.send().left == 0
    assert len(run.channel.requests) == 1
    assert resolved_in(run.held()).rows() == [("left unknown", 1)]
    assert run.event(1) == 1
    assert run.states()[1] == (1, "accepted", "")
    assert run.event(1) == 0


def test_never_lose_sends_it_once_more_and_only_once(run: Run) -> None:
    run.answers(Kind.ACCEPTED, Kind.DELIVERY_UNKNOWN, Kind.ACCEPTED)
    run.send()
    run.now += HOUR
    assert run.decide(LOSE) == Decided(sent_again=1)
    assert run.states()[1] == (1, "not_sent", "never_lose")
    assert (run.account().pending, run.account().sent_again) == (1, 0)
    run.send()
    assert [[m.message_no for m in batch.messages] for batch in run.channel.requests] == [[0, 1, 2], [1]]
    assert run.states()[1] == (2, "in_doubt", "delivery_unknown")
    assert run.doubts(LOSE, "message_no", "attempt", "repeat") == [(1, 2, True)]
    assert run.account().sent_again == 1
    run.now += HOUR
    assert run.decide(LOSE) == Decided(given_up=1)
    assert run.states()[1] == (2, "unknown", "window_passed")
    assert run.send().outcomes.total() == 0


def test_a_repeat_that_proves_to_be_a_second_one_is_labelled_and_no_inconsistency(run: Run) -> None:
    run.answers(Kind.ACCEPTED, Kind.NO_ANSWER, Kind.ACCEPTED)
    run.send()
    run.now += HOUR
    assert decide(run.engine, run.lake, RUN, run.now, LOSE.asking([])) == Decided(sent_again=1)
    run.answers(*[Kind.ACCEPTED] * 3)
    run.send()
    assert run.states()[1] == (2, "accepted", "")
    assert (run.account().sent_again, run.account().arrived_twice) == (1, 0)
    assert run.event(1, attempt=1) == 1
    assert run.states()[1] == (1, "accepted", "")
    found = run.account()
    assert (found.messages, found.sent_again, found.arrived_twice) == ({"accepted": 3}, 1, 1)


def test_nothing_is_repeated_after_the_deadline_nor_while_it_is_held(run: Run) -> None:
    run.answers(Kind.ACCEPTED, Kind.DELIVERY_UNKNOWN, Kind.ACCEPTED)
    run.send()
    run.now += HOUR
    held = Rules(LOSE.settling, LOSE.window, never_lose=True, held=True, asks=LOSE.asks, channel="email")
    assert run.decide(held) == Decided()
    assert run.next_look(held) == run.now + HOUR  # whether it was resumed
    assert run.decide(LOSE, go_on=lambda _connection: False) == Decided()
    assert run.states()[1][1] == "in_doubt"
    over = Rules(LOSE.settling, LOSE.window, never_lose=True, until=START, asks=LOSE.asks, channel="email")
    assert run.decide(over) == Decided(given_up=1)


def test_a_repeat_is_for_who_was_in_doubt_though_the_batch_was_tried_again_before(run: Run) -> None:
    """Its first attempt is given up after the second, which was for another: it was never part of that one."""
    run.answers(Kind.ACCEPTED, Kind.DELIVERY_UNKNOWN, Kind.THROTTLED)
    run.send()
    run.answers(*[Kind.ACCEPTED] * 3)
    run.send()
    assert run.states() == [(1, "accepted", ""), (1, "in_doubt", "delivery_unknown"), (2, "accepted", "")]
    run.now += HOUR
    run.decide(LOSE)
    assert run.states()[1] == (1, "not_sent", "never_lose")
    assert dict(run.send().outcomes) == {Outcome.ACCEPTED: 1}
    assert run.states()[1] == (3, "accepted", "")
    assert run.channel.processed == [(0, 1), (2, 2), (1, 3)]
    claimed = run.held().covered.sort("attempt").rows()
    assert claimed == [(0, 2, 2), (0, 3, 1)]


def test_an_event_that_comes_while_a_repeat_waits_for_its_turn_keeps_it_from_leaving(run: Run) -> None:
    run.answers(Kind.ACCEPTED, Kind.NO_ANSWER, Kind.DELIVERY_UNKNOWN)
    run.send()
    run.now += HOUR
    assert decide(run.engine, run.lake, RUN, run.now, LOSE.asking([])) == Decided(sent_again=2)
    run.answers(*[Kind.ACCEPTED] * 3)

    def meanwhile() -> None:
        """Asked before the claim, when the batch is loaded."""
        run.event(1, attempt=1)

    send_due(run.engine, run.lake, RUN, run.channel, worker="w", clock=lambda: run.now, stopped=meanwhile)
    assert run.channel.processed == [(0, 1), (1, 1), (2, 2)]
    assert [state for _, state, _ in run.states()] == ["accepted"] * 3


def test_an_answer_that_comes_late_counts_more_than_what_the_policy_thought(run: Run) -> None:
    run.killed()
    run.now += HOUR
    assert decide(run.engine, run.lake, RUN, run.now, LOSE.asking([])) == Decided(sent_again=3)
    late = BatchOutcome(RUN, 0, 1, Source.SEND, Outcome.ACCEPTED, "", "id", run.now)
    refused = ledger.OutcomeRow(RUN, 2, 1, Source.SEND, Outcome.REJECTED, "21211", "", run.now)
    with writing(run.engine) as connection:
        ledger.append(connection, [refused], [late])
    assert run.states() == [(1, "accepted", ""), (1, "accepted", ""), (1, "rejected", "21211")]
    assert run.send().outcomes.total() == 0


def test_an_answer_that_comes_late_counts_more_than_what_a_person_thought(run: Run) -> None:
    run.killed()
    run.now += HOUR
    assert run.says(Outcome.ACCEPTED, 1) == 1
    late = BatchOutcome(RUN, 0, 1, Source.SEND, Outcome.THROTTLED, "http_429", "", run.now)
    with writing(run.engine) as connection:
        ledger.append(connection, [], [late])
    assert run.states() == [(1, "throttled", "http_429")] * 3
    assert run.account().messages == {"throttled": 3}
    run.answers(*[Kind.ACCEPTED] * 3)
    run.send()
    assert run.states() == [(2, "accepted", "")] * 3
    assert run.account().messages == {"accepted": 3}


def test_a_repeat_that_is_left_out_leaves_the_first_attempt_unknown(run: Run) -> None:
    run.answers(Kind.ACCEPTED, Kind.NO_ANSWER, Kind.DELIVERY_UNKNOWN)
    run.send()
    run.now += HOUR
    decide(run.engine, run.lake, RUN, run.now, LOSE.asking([]))
    run.answers(Kind.ACCEPTED, Kind.ACCEPTED, Kind.HARD_ADDRESS)
    run.send(1)
    assert run.states() == [(1, "accepted", ""), (1, "unknown", "suppressed"), (1, "unknown", "hard_address")]
    assert run.account().messages == {"unknown": 2, "accepted": 1}
    assert run.event(1) == 1  # it names no attempt: that of which nobody knew
    assert run.states()[1] == (1, "accepted", "")


def test_a_person_resolves_and_is_written_down(run: Run) -> None:
    run.answers(Kind.NO_ANSWER, Kind.NO_ANSWER, Kind.DELIVERY_UNKNOWN)
    run.send()
    assert run.says(Outcome.ACCEPTED, 0) == 1
    assert run.says(Outcome.REJECTED, 1) == 1
    assert run.says(Outcome.NOT_SENT, 2) == 1
    assert run.says(Outcome.NOT_SENT, 2) == 0  # said before
    assert run.states() == [(1, "accepted", "by_hand"), (1, "rejected", "by_hand"), (1, "not_sent", "by_hand")]
    with reading(run.engine) as connection:
        log = connection.execute(sa.select(state_changes).order_by(state_changes.c.change_id)).all()
    assert [(row.subject, row.from_state, row.to_state, row.actor, row.reason) for row in log] == [
        (f"{RUN}:{number:024x}", "in_doubt", verdict, "ann", "seen in the console")
        for number, verdict in enumerate(["accepted", "rejected", "not_sent"])
    ]
    run.answers(*[Kind.ACCEPTED] * 3)
    assert dict(run.send().outcomes) == {Outcome.ACCEPTED: 1}
    assert resolved_in(run.held()).rows() == [("resolved by a person", 3)]
    assert run.event(1) == 1  # people err: proof counts more
    assert run.states()[1] == (1, "accepted", "")


def test_a_person_can_keep_a_repeat_from_going_out(run: Run) -> None:
    run.answers(Kind.ACCEPTED, Kind.DELIVERY_UNKNOWN, Kind.ACCEPTED)
    run.send()
    run.now += HOUR
    run.decide(LOSE)
    assert run.says(Outcome.ACCEPTED, 1) == 1
    assert run.send().left == 0
    assert len(run.channel.requests) == 1


def test_what_a_person_says_is_said_of_every_attempt_that_nobody_knows_of(run: Run) -> None:
    run.answers(Kind.ACCEPTED, Kind.DELIVERY_UNKNOWN, Kind.ACCEPTED)
    run.send()
    run.now += HOUR
    run.decide(LOSE)
    run.send()
    run.now += HOUR
    run.decide(LOSE)
    assert run.states()[1] == (2, "unknown", "window_passed")
    assert run.says(Outcome.REJECTED, 1) == 1
    assert run.states()[1] == (2, "rejected", "by_hand")


@pytest.mark.parametrize(
    ("prove", "why"),
    [
        (lambda run: run.event(1), "an event of the provider says that it is accepted"),
        (lambda run: run.settle(KEEP), "the provider, when it was asked, says that it is accepted"),
        (lambda run: run.says(Outcome.REJECTED, 1), "a person says that it is rejected"),
    ],
)
def test_a_person_is_refused_where_something_is_known(run: Run, prove: Callable[[Run], Any], why: str) -> None:
    run.answers(Kind.NO_ANSWER, Kind.NO_ANSWER, Kind.ACCEPTED)
    run.send()
    prove(run)
    before = run.states()
    with pytest.raises(Refused, match=f"is not in doubt: {why}"):
        run.says(Outcome.NOT_SENT, 0, 1)
    assert run.states() == before  # all or none
    with pytest.raises(Refused, match="the provider's answer says that it is accepted"):
        run.says(Outcome.NOT_SENT, 2)


def test_a_person_waits_for_what_may_still_be_answered(run: Run) -> None:
    run.killed()
    with pytest.raises(Refused, match="may still be answered") as caught:
        run.says(Outcome.NOT_SENT, 0, settling=5 * MINUTE)
    assert caught.value.hint == "Look again when its claim is 0:05:00 old."
    run.now += 5 * MINUTE
    assert run.says(Outcome.NOT_SENT, 0, settling=5 * MINUTE) == 1


def test_a_person_is_told_what_is_not_there_and_what_cannot_go_on(run: Run) -> None:
    run.answers(*[Kind.NO_ANSWER] * 3)
    run.send()
    with pytest.raises(NotFound, match=f"message {9:024x} is not in {RUN}"):
        run.says(Outcome.ACCEPTED, 0, 9)
    with pytest.raises(Refused, match="cannot go on"):
        run.says(Outcome.NOT_SENT, 0, go_on=lambda _connection: False)
    assert {state for _, state, _ in run.states()} == {"in_doubt"}
    assert run.says(Outcome.REJECTED, 0, go_on=lambda _connection: False) == 1


@given(st.sets(st.integers(0, 2000)))
def test_whom_a_claim_covers_is_read_as_it_was_written(numbers: set[int]) -> None:
    if numbers:
        assert list(numbers_of(as_text(numbers))) == sorted(numbers)


def test_whom_a_claim_covers_is_written_in_ranges() -> None:
    assert as_text([7, 1, 2, 3, 5]) == "1-3,5,7"
