"""The promise, as a state machine: crashes, retries, concurrent workers and late events in any order.

The provider of this test knows what was physically processed. At any time: no message twice, none lost.
"""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from campaign_pipeline.campaigns.sender_policy import SenderPolicy
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import Halted
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import RETRYABLE, Channel, Outcome, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.guards.base import Guard
from campaign_pipeline.dispatch.guards.breaker import Breakers
from campaign_pipeline.dispatch.guards.pace import Paced
from campaign_pipeline.dispatch.guards.suppressed import NotSuppressed
from campaign_pipeline.dispatch.outcomes import VERDICTS, Kind
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.reconcile import settle_by_events, settle_doubts
from campaign_pipeline.dispatch.states import states
from campaign_pipeline.dispatch.worker import send_due
from tests.databases import sqlite_database

RUN = "spring-sale--20260302t090000z"
START = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)
MESSAGES, BATCH = 9, 3
FINAL = (Outcome.ACCEPTED, Outcome.REJECTED, Outcome.SUPPRESSED, Outcome.EXPIRED, Outcome.CANCELLED)
ANSWERS = (
    Kind.ACCEPTED,
    Kind.NO_ANSWER,
    Kind.NOT_CONNECTED,
    Kind.THROTTLED,
    Kind.CONFIG,
    Kind.HARD_ADDRESS,
    Kind.COUNTRY,
    Kind.FILTERED,
)
PACE = SenderPolicy.model_validate({"rate": "1/s", "daily": 5, "breaker": {"filtered": 2, "of": 4}})
CRASHES = ("after_claim", "while_sending", "before_append", "never")


class Killed(BaseException):
    """As kill -9."""


def machine(make_channel: Callable[[], Any], make_plan: Callable[..., None]) -> type[RuleBasedStateMachine]:
    class Dispatch(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.folder = tempfile.TemporaryDirectory()
            root = Path(self.folder.name)
            self.engine, self.lake = sqlite_database(root / "ledger.db"), Lake(root / "lake")
            make_plan(self.engine, self.lake, MESSAGES, BATCH)
            self.channel, self.now = make_channel(), START
            self.maybe_processed: set[tuple[int, int]] = set()  # attempts after which no other may follow
            self.ended: dict[int, str] = {}
            self.cancelled = False

        def teardown(self) -> None:
            self.engine.dispose()
            self.folder.cleanup()

        @rule(
            answers=st.lists(st.sampled_from(ANSWERS), min_size=MESSAGES, max_size=MESSAGES),
            crash=st.sampled_from(CRASHES),
            crash_at=st.integers(0, 2),
            tries=st.integers(1, 3),
            suppressed=st.sets(st.integers(0, MESSAGES - 1), max_size=2),
            rival=st.booleans(),
            paced=st.booleans(),
        )
        def send(
            self,
            answers: list[Kind],
            crash: str,
            crash_at: int,
            tries: int,
            suppressed: set[int],
            rival: bool,
            paced: bool,
        ) -> None:
            """One worker's call, killed somewhere or not; a rival claims a batch under its nose or not."""
            channel, requests = self.channel, 0

            def before(batch: Any) -> None:
                nonlocal requests
                requests += 1
                for message in batch.messages:
                    before_this = {a for n, a in self.maybe_processed if n == message.message_no}
                    assert not before_this, f"message {message.message_no} left again after {before_this}"
                if crash == "after_claim" and requests > crash_at:
                    raise Killed

            def answer(message: Any, attempt: int) -> Kind:
                kind = answers[message.message_no]
                if VERDICTS[kind].outcome not in RETRYABLE:
                    self.maybe_processed.add((message.message_no, attempt))
                if crash == "while_sending" and requests > crash_at and message.message_no % BATCH == 1:
                    raise Killed
                return kind

            def after(_batch: Any) -> None:
                if crash == "before_append" and requests > crash_at:
                    raise Killed

            def stopped() -> RunState | None:
                if rival:
                    ledger.claim(self.engine, RUN, crash_at, 1, "rival", self.now)
                return RunState.CANCELLED if self.cancelled else None

            guards: list[Guard] = [
                NotSuppressed(self.engine, Channel.EMAIL, lambda: {f"user{n}@example.com" for n in suppressed})
            ]
            if paced:
                guards.append(Breakers(self.engine, Channel.EMAIL, "sendgrid", "sender", "one", PACE.breaker))
                guards.append(Paced(self.engine, "sender", PACE))
            channel.before, channel.answers, channel.after = before, answer, after
            with contextlib.suppress(Killed, Halted):
                send_due(
                    self.engine,
                    self.lake,
                    RUN,
                    channel,
                    worker="one",
                    clock=lambda: self.now,
                    guards=guards,
                    stopped=stopped,
                    patience=Patience(tries=tries, sleep=self.sleep),
                )

        def sleep(self, seconds: float) -> None:
            self.now += timedelta(seconds=seconds)

        @rule(data=st.data())
        def an_event_arrives(self, data: st.DataObject) -> None:
            if not self.channel.processed:
                return
            number, attempt = data.draw(st.sampled_from(self.channel.processed))
            proof = {"message_id": [f"{number:024x}"], "provider_id": [f"id-{number}-{attempt}"], "attempt": [attempt]}
            settle_by_events(self.engine, self.lake, RUN, pl.DataFrame(proof), self.now)

        @rule()
        def doubts_are_looked_up(self) -> None:
            settle_doubts(self.engine, self.lake, RUN, self.channel, self.now)

        @rule(minutes=st.sampled_from([-60, 1, 10, 24 * 60]))
        def the_clock_moves(self, minutes: int) -> None:
            self.now += timedelta(minutes=minutes)
            self.now = max(self.now, START)

        @rule()
        def the_run_is_cancelled(self) -> None:
            self.cancelled = True

        @invariant()
        def nothing_is_sent_twice(self) -> None:
            assert max(Counter(number for number, _ in self.channel.processed).values(), default=0) <= 1

        @invariant()
        def everything_is_accounted_for(self) -> None:
            assert account(self.engine, self.lake, RUN, self.now).planned == MESSAGES

        @invariant()
        def the_ledger_never_contradicts_the_provider(self) -> None:
            index = self.lake.read("messages", RUN)
            with reading(self.engine) as connection:
                held = ledger.read_ledger(connection, RUN)
            where = {n: state for n, _, _, state, *_ in states(index, held).iter_rows()}
            processed = {number for number, _ in self.channel.processed}
            for number, state in where.items():
                assert state != Outcome.ACCEPTED or number in processed, f"{number} is accepted but was never sent"
                assert number not in processed or state in (Outcome.ACCEPTED, Outcome.IN_DOUBT), f"{number} is {state}"
                assert self.ended.get(number, state) == state, f"{number} was {self.ended[number]} and is {state}"
                if state in FINAL:
                    self.ended[number] = state

    return Dispatch


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_no_message_twice_and_none_lost_whatever_happens(
    make_channel: Callable[[], Any], make_plan: Callable[..., None]
) -> None:
    run_state_machine_as_test(
        machine(make_channel, make_plan),
        settings=settings(
            max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
