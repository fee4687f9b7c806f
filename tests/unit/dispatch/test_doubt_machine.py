"""What happens in doubt, as a state machine: windows, repeats, people, events and answers that come late, in any order.

The provider of this test knows what was physically processed. No message leaves again unless the ledger says who wanted
it, none twice so by policy; and once everything has been said, what is left unknown was lost twice over or not at all.
"""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import Halted, Refused
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import RETRYABLE, Channel, Outcome, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels.base import Capabilities, Result
from campaign_pipeline.dispatch.decide import VERDICTS as SAID
from campaign_pipeline.dispatch.decide import decide, resolve
from campaign_pipeline.dispatch.doubts import Rules, next_look, read_doubts
from campaign_pipeline.dispatch.guards.suppressed import NotSuppressed
from campaign_pipeline.dispatch.ledger import NEVER_LOSE, Source
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.reconcile import settle_by_events, settle_doubts
from campaign_pipeline.dispatch.sender import Sender
from campaign_pipeline.dispatch.states import OPEN, attempts, states
from campaign_pipeline.dispatch.worker import send_due
from tests.databases import sqlite_database

RUN = "spring-sale--20260302t090000z"
START = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)
MESSAGES, BATCH = 4, 2
ANSWERS = (Kind.ACCEPTED, Kind.NO_ANSWER, Kind.DELIVERY_UNKNOWN, Kind.NOT_CONNECTED, Kind.THROTTLED, Kind.HARD_ADDRESS)
"""No answer: it was processed. Delivery unknown: it was not. The ledger cannot tell them apart."""
DOUBTFUL = (Kind.NO_ANSWER, Kind.DELIVERY_UNKNOWN, Kind.THROTTLED)
CRASHES = ("never", "after_claim", "while_sending", "before_append")
SETTLING, WINDOW = timedelta(minutes=5), timedelta(hours=1)
MAY_BE_ANYTHING = (Outcome.ACCEPTED, Outcome.IN_DOUBT, Outcome.UNKNOWN)


def one_each(kinds: Sequence[Kind]) -> st.SearchStrategy[list[Kind]]:
    return st.lists(st.sampled_from(kinds), min_size=MESSAGES, max_size=MESSAGES)


class Killed(BaseException):
    """As kill -9."""


def machine(make_channel: Callable[[], Any], make_plan: Callable[..., None]) -> type[RuleBasedStateMachine]:
    class Doubts(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.folder = tempfile.TemporaryDirectory()
            root = Path(self.folder.name)
            self.engine, self.lake = sqlite_database(root / "ledger.db"), Lake(root / "lake")
            make_plan(self.engine, self.lake, MESSAGES, BATCH)
            self.index = BatchFile(self.lake, RUN).index()
            self.channel, self.now = make_channel(), START
            self.hung: list[tuple[Any, dict[int, Kind]]] = []  # batches whose answers were never written down
            self.said: set[int] = set()  # messages about which a person said something
            self.left_out: set[int] = set()  # messages that were suppressed at times
            self.went: Counter[int] = Counter()  # requests that a message was in, or was about to be in
            self.cancelled = False

        @initialize(never_lose=st.booleans(), asks=st.booleans(), answers=one_each(DOUBTFUL), hangs=st.booleans())
        def the_campaign_was_sent(self, never_lose: bool, asks: bool, answers: list[Kind], hangs: bool) -> None:
            self.channel.capabilities = Capabilities(max_batch=1000, lookup=asks)
            self.rules = Rules(SETTLING, WINDOW, never_lose, channel="email").asking(["email"] if asks else [])
            self.send(answers, "before_append" if hangs else "never", 1, set(), False)

        def teardown(self) -> None:
            if hasattr(self, "rules"):
                self.in_the_end()
            self.engine.dispose()
            self.folder.cleanup()

        def held(self) -> ledger.Ledger:
            with reading(self.engine) as connection:
                return ledger.read_ledger(connection, RUN)

        def where(self) -> dict[int, str]:
            return dict(states(self.index, self.held()).select("message_no", "state").iter_rows())

        def wanted(self) -> list[tuple[int, int, str]]:
            """(message_no, attempt, source) of each attempt that was given up so that another may follow."""
            given_up = (pl.col("source") == Source.OPERATOR.value) & (pl.col("outcome") == Outcome.NOT_SENT.value)
            rows = self.held().outcomes.filter(given_up | (pl.col("code") == NEVER_LOSE))
            return rows.select("message_no", "attempt", "source").rows()

        def leaves(self, batch: Any) -> None:
            """Each attempt before this one certainly did not arrive, or somebody gave it up and nothing came since."""
            tries = by_attempt(self.index, self.held())
            given_up = {(number, attempt) for number, attempt, _ in self.wanted()}
            for message in batch.messages:
                number = message.message_no
                self.went[number] += 1
                assert Outcome.ACCEPTED not in tries[number].values(), f"{number} leaves again, though it was accepted"
                for attempt, outcome in tries[number].items():
                    if attempt < batch.attempt and (number, attempt) not in given_up:
                        assert outcome in RETRYABLE, f"{number} leaves again, though attempt {attempt} is {outcome}"

        @rule(
            minutes=st.sampled_from([61, 0, 10]),
            answers=one_each(ANSWERS),
            crash=st.sampled_from(CRASHES),
            crash_at=st.integers(0, 1),
            suppressed=st.sets(st.integers(0, MESSAGES - 1), max_size=1),
            meanwhile=st.booleans(),
        )
        def it_is_looked_at_and_sent_later(
            self, minutes: int, answers: list[Kind], crash: str, crash_at: int, suppressed: set[int], meanwhile: bool
        ) -> None:
            self.now += timedelta(minutes=minutes)
            self.settle()
            self.send(answers, crash, crash_at, suppressed, meanwhile)

        def send(self, answers: list[Kind], crash: str, crash_at: int, suppressed: set[int], meanwhile: bool) -> None:
            """One worker's call, killed somewhere or not; meanwhile, events of what was sent before arrive or not."""
            channel, requests = self.channel, 0
            self.left_out |= suppressed

            def before(batch: Any) -> None:
                nonlocal requests
                requests += 1
                self.leaves(batch)
                if crash == "after_claim" and requests > crash_at:
                    raise Killed

            def answer(message: Any, _attempt: int) -> Kind:
                if crash == "while_sending" and requests > crash_at and message.message_no % BATCH == 1:
                    raise Killed
                return answers[message.message_no]

            def after(batch: Any) -> None:
                if crash == "before_append" and requests > crash_at:
                    self.hung.append((batch, {m.message_no: answers[m.message_no] for m in batch.messages}))
                    raise Killed

            channel.before, channel.answers, channel.after = before, answer, after
            with contextlib.suppress(Killed, Halted):
                self.work(suppressed, list(channel.processed) if meanwhile else [])

        def work(self, suppressed: Collection[int] = (), events: Sequence[tuple[int, int]] = ()) -> None:
            addresses = {f"user{number}@example.com" for number in suppressed}

            def stopped() -> RunState | None:
                for number, attempt in events:
                    self.event(number, attempt)
                return RunState.CANCELLED if self.cancelled else None

            send_due(
                self.engine, self.lake, RUN, self.channel, worker="one", clock=lambda: self.now,
                guards=[NotSuppressed(self.engine, Channel.EMAIL, lambda: addresses)],
                stopped=stopped,
                patience=Patience(tries=2, sleep=lambda _seconds: None),
            )  # fmt: skip

        @precondition(lambda self: self.hung)
        @rule(which=st.integers(0, 9))
        def a_worker_that_hung_writes_its_answers_down(self, which: int) -> None:
            batch, answers = self.hung.pop(which % len(self.hung))
            results = [
                Result(number, kind, kind.value, f"of-{batch.batch_no}" if kind == Kind.ACCEPTED else "")
                for number, kind in answers.items()
            ]
            sender = Sender(
                self.engine, self.channel, "one", lambda: self.now, None, (), lambda: None, Patience()
            )  # fmt: skip
            sender._record(batch, results, whole=batch.whole)  # pyright: ignore[reportPrivateUsage]

        @precondition(lambda self: self.channel.processed)
        @rule(which=st.integers(0, 99), named=st.booleans())
        def an_event_arrives(self, which: int, named: bool) -> None:
            number, attempt = self.channel.processed[which % len(self.channel.processed)]
            self.event(number, attempt if named else None)

        def event(self, number: int, attempt: int | None) -> None:
            proof = {"message_id": [f"{number:024x}"], "provider_id": [f"id-{number}-{attempt or 0}"]}
            frame = pl.DataFrame(proof | {"attempt": [attempt]}, schema_overrides={"attempt": pl.Int64})
            settle_by_events(self.engine, self.lake, RUN, frame, self.now)

        def settle(self) -> None:
            settle_doubts(self.engine, self.lake, RUN, self.channel, self.now, self.rules)
            before = {n: s for n, s in self.where().items() if s == Outcome.IN_DOUBT}
            decided = decide(self.engine, self.lake, RUN, self.now, self.rules)
            after = self.where()
            assert decided.given_up == sum(after[number] == Outcome.UNKNOWN for number in before)
            assert decided.sent_again == sum(after[number] in OPEN for number in before)
            look = next_look(self.engine, self.lake, RUN, self.now, self.rules)
            assert (look is None) == (Outcome.IN_DOUBT not in after.values())
            assert look is None or look > self.now  # nothing that is due was left undone

        @precondition(lambda self: {Outcome.IN_DOUBT, Outcome.UNKNOWN} & set(self.where().values()))
        @rule(which=st.integers(0, 99), verdict=st.sampled_from(SAID))
        def a_person_decides(self, which: int, verdict: Outcome) -> None:
            before = self.where()
            doubts = [n for n, state in before.items() if state in (Outcome.IN_DOUBT, Outcome.UNKNOWN)]
            number = doubts[which % len(doubts)]
            ids = [f"{number:024x}"]
            try:
                done = resolve(
                    self.engine, self.lake, RUN, ids, verdict, self.now, actor="a", reason="r", settling=SETTLING
                )
            except Refused:
                held = read_doubts(self.engine, self.lake, RUN, self.now, self.rules, given_up=True)
                assert number not in held["message_no"]  # its claim is too young to be a doubt
                return
            assert done == 1
            self.said.add(number)
            after = self.where()
            assert after == before | {number: after[number]}
            *_, last = by_attempt(self.index, self.held())[number].values()
            assert after[number] == verdict or (verdict != Outcome.ACCEPTED and after[number] == last)

        @rule(really=st.sampled_from([False, False, False, True]))
        def the_run_is_cancelled(self, really: bool) -> None:
            self.cancelled = self.cancelled or really

        @invariant()
        def nothing_is_sent_again_that_nobody_wanted_so(self) -> None:
            sent = Counter(number for number, _ in self.channel.processed)
            wanted = Counter(number for number, *_ in self.wanted())
            assert all(times <= 1 + wanted[number] for number, times in sent.items())
            by_policy = Counter(number for number, _, source in self.wanted() if source == Source.POLICY)
            assert max(by_policy.values(), default=0) <= 1
            assert hasattr(self, "rules") is False or self.rules.never_lose or not by_policy

        @invariant()
        def everything_is_accounted_for(self) -> None:
            found = account(self.engine, self.lake, RUN, self.now, SETTLING)
            assert found.planned == MESSAGES
            again = {number for number, times in Counter(n for n, _ in self.channel.processed).items() if times > 1}
            assert found.sent_again >= len(again)
            assert found.arrived_twice <= len(again)

        @invariant()
        def the_ledger_never_contradicts_the_provider(self) -> None:
            processed = {number for number, _ in self.channel.processed}
            repeated = {number for number, *_ in self.wanted()}
            for number, state in self.where().items():
                if number in self.said:
                    continue  # people err
                assert state != Outcome.ACCEPTED or number in processed, f"{number} is accepted but was never sent"
                fits = MAY_BE_ANYTHING if number not in repeated else (*MAY_BE_ANYTHING, *OPEN)
                assert number not in processed or state in fits, f"{number} was processed and is {state}"

        def in_the_end(self) -> None:
            """No more faults; every event arrives; time passes: then nobody is left in doubt, and nothing was lost."""
            self.channel.before = self.leaves
            self.channel.answers = lambda _message, _attempt: Kind.ACCEPTED
            self.channel.after = lambda _batch: None
            for _ in range(3):
                self.work()
                for number, attempt in list(self.channel.processed):
                    self.event(number, attempt)
                self.now += WINDOW
                settle_doubts(self.engine, self.lake, RUN, self.channel, self.now, self.rules)
                decide(self.engine, self.lake, RUN, self.now, self.rules)
            processed = {number for number, _ in self.channel.processed}
            by_policy = {number for number, _, source in self.wanted() if source == Source.POLICY}
            for number, state in self.where().items():
                assert state not in (*OPEN, Outcome.IN_DOUBT), f"{number} is {state} in the end"
                if number in processed:
                    assert state == Outcome.ACCEPTED, f"{number} was processed, every event came, and it is {state}"
                elif number not in self.said:
                    assert state != Outcome.ACCEPTED
                    if state == Outcome.UNKNOWN and self.rules.never_lose:
                        assert number in by_policy, f"{number} was lost, and nobody tried again"
                        went = self.went[number] > 1 or number in self.left_out or self.cancelled
                        assert went, f"{number} was lost, though it might have been sent once more"
            self.nothing_is_sent_again_that_nobody_wanted_so()
            self.everything_is_accounted_for()

    return Doubts


def by_attempt(index: pl.DataFrame, held: ledger.Ledger) -> dict[int, dict[int, str]]:
    """message_no -> attempt -> what counts of it."""
    tries = attempts(index, held).filter(pl.col("attempt").is_not_null())
    found: dict[int, dict[int, str]] = {}
    for number, attempt, outcome in tries.sort("attempt").select("message_no", "attempt", "outcome").iter_rows():
        found.setdefault(number, {})[attempt] = outcome or Outcome.IN_DOUBT.value
    return found


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_whatever_is_in_doubt_is_sent_again_only_as_the_campaign_or_a_person_wants(
    make_channel: Callable[[], Any], make_plan: Callable[..., None]
) -> None:
    run_state_machine_as_test(
        machine(make_channel, make_plan),
        settings=settings(
            max_examples=25, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
