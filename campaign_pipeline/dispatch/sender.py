"""One batch through claim, send and outcome: the protocol that keeps a message from leaving twice.

1. All guards are asked. Then the batch is claimed, and who is left out is written down, in one durable transaction.
2. The channel sends, once.
3. The outcomes are appended. A crash between 1 and 3 leaves a claim without outcomes: in doubt, never resent.
4. What was certainly not processed gets another attempt, from 1.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.suppression import Suppression, suppress
from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Halted, Unavailable
from campaign_pipeline.core.words import RETRYABLE, Outcome, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.breakers import of_channel
from campaign_pipeline.dispatch.channels.base import Batch, Channel, Result
from campaign_pipeline.dispatch.guards.base import Guard, LeftOut, Permit
from campaign_pipeline.dispatch.ledger import BatchOutcome, OutcomeRow, Source
from campaign_pipeline.dispatch.outcomes import HALTING, SUPPRESSES, VERDICTS, Action, Kind
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.states import OPEN, states

HINTS = {
    Action.HALT_CHANNEL: "Check the provider's credentials and sender (campaigns doctor), let the channel go again "
    "(campaigns senders reopen {breaker} --reason WHY), then run it again: it takes up what is left.",
    Action.HALT_CAMPAIGN: "Mend it at the provider and run it again, or cancel this run and correct the template: "
    "the messages of a run never change.",
}

AGAIN = frozenset(
    kind
    for kind, verdict in VERDICTS.items()
    if verdict.outcome in RETRYABLE and verdict.action in (Action.RETRY, Action.SPLIT)
)
"""Kinds after which this call makes another attempt."""

LONGEST_NAP = 1.0
"""Seconds after which a sender that waits looks again whether it should go on at all."""

SHORT_WAIT = 2.0
"""Seconds that a batch may keep others waiting that could go; if it takes longer, they go first."""

WITHOUT_DATABASE = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Seconds between tries to write down what a provider answered, while the database is away."""

_MESSAGES = {"message_no": pl.Int32, "batch_no": pl.Int32}

NO_PAUSE = frozenset({Kind.HELD_BACK, Kind.TOO_LARGE, Kind.ACCEPTED})
"""Kinds after which the next attempt need not wait."""


@dataclass
class Sender:
    """Sends batches of one run through one channel; several threads may use it at once."""

    engine: sa.Engine
    channel: Channel
    worker: str
    clock: Clock
    deadline: datetime | None
    guards: Sequence[Guard]
    stopped: Callable[[], RunState | None]
    patience: Patience
    ended_by: RunState | Outcome | None = None  # why nothing more is claimed: paused, cancelled, expired
    halted: Halted | None = None
    counts: Counter[Outcome] = field(default_factory=Counter[Outcome])  # final outcomes of this call
    put_off: Permit | None = None  # of the guards' that said later, the first to end; all batches wait if it is for_all
    aside: set[int] = field(default_factory=set[int])  # batches that wait longer than a moment, while others could go
    patient: bool = False  # nothing else is left to do: wait for them
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, batch: Batch) -> None:
        """Send the batch until nothing of it may be tried again now. Raises Halted."""
        size, failures = self.channel.capabilities.max_batch, 0
        while batch.messages:
            permitted = self._permitted(batch)
            if permitted is None:
                return  # later, or nothing more at all
            batch = self._still_open(batch)
            left_out = self._claim(batch, permitted)
            if left_out is None:
                return  # another worker has it
            going = _without(batch, left_out)
            results = self._through_the_channel(going, size)
            self._record(going, results, whole=batch.whole)
            again = [result for result in results if result.kind in AGAIN]
            held = {one.message_no for one in left_out if one.outcome in RETRYABLE}
            if not again and not held:
                return
            if any(result.action == Action.SPLIT for result in again):
                size = max(1, min(size, len(going.messages)) // 2)
            failures = 0 if len(again) < len(results) else failures + 1
            # The next claim covers all that is open of the batch.
            still_open = held | {result.message_no for result in results if result.outcome in RETRYABLE}
            batch = replace(batch, attempt=batch.attempt + 1).only(still_open)
            if not all(result.kind in NO_PAUSE for result in again):
                pause = self.patience.pause(max(failures, 1), max(result.retry_after for result in again))
                if pause is None:
                    return
                self.patience.sleep(pause)

    def over(self) -> bool:
        """Whether nothing more may be claimed: looked at before each claim."""
        if self.halted or self.ended_by:
            return True
        if self.deadline and self.clock() > self.deadline:
            self.ended_by = Outcome.EXPIRED
        else:
            self.ended_by = self.stopped()
        return self.ended_by is not None

    def _permitted(self, batch: Batch) -> Sequence[LeftOut] | None:
        """Who of the batch is left out if it goes now, which may be after a pause; None: it does not. Raises Halted."""
        while not self.over():
            now = self.clock()
            permit = self._ask(batch, now)
            if permit.stop:
                self.halted = permit.stop
                raise permit.stop
            if permit.later and permit.later > now:
                self._put_off(permit)
                return None
            if permit.wait <= 0:
                return permit.left_out
            if permit.wait > SHORT_WAIT and not (permit.for_all or self.patient):
                with self._lock:
                    self.aside.add(batch.batch_no)
                return None
            self.patience.sleep(min(permit.wait, LONGEST_NAP))  # then all are asked again: much may have changed
        return None

    def _put_off(self, permit: Permit) -> None:
        with self._lock:
            if self.put_off is None or _is_before(permit, self.put_off):
                self.put_off = permit

    def _ask(self, batch: Batch, now: datetime) -> Permit:
        """What the guards say together: the first that has something against it, or all who are left out."""
        left_out: list[LeftOut] = []
        for guard in self.guards:
            rest = _without(batch, left_out)
            if not rest.messages:
                break  # a guard that reserves is not asked for nothing
            permit = guard.look(rest, now)
            if permit.stop or permit.later or permit.wait > 0:
                return permit
            left_out += permit.left_out
        return Permit(left_out=tuple(left_out))

    def _still_open(self, batch: Batch) -> Batch:
        """The batch without those that an event, a person or a late answer has settled since it was put together."""
        if batch.attempt == 1:
            return batch
        numbers = batch.numbers
        messages = pl.DataFrame({"message_no": numbers, "batch_no": batch.batch_no}, schema=_MESSAGES)
        with reading(self.engine) as connection:
            held = ledger.read_ledger_of(connection, batch.run_id, [batch.batch_no], numbers)
        still_open = states(messages, held).filter(pl.col("state").is_in(list(OPEN)))
        return batch.only(set(still_open.get_column("message_no")))

    def _claim(self, batch: Batch, left_out: Sequence[LeftOut]) -> list[LeftOut] | None:
        """Claim the batch; who of it is left out; None: another worker has it, or nobody is left to send to."""
        numbers = set(batch.numbers)
        if not numbers:
            return None
        everybody = [one for one in left_out if one.message_no in numbers]
        covers = None if batch.whole else numbers
        now = self.clock()

        def rows(connection: sa.Connection) -> list[OutcomeRow]:
            for guard in self.guards:
                everybody.extend(guard.within(connection, _without(batch, everybody), now))
            return [
                OutcomeRow(batch.run_id, number, batch.attempt, Source.POLICY, outcome, code, "", now)
                for number, outcome, code in everybody
            ]

        key = batch.run_id, batch.batch_no, batch.attempt
        if not ledger.claim(self.engine, *key, self.worker, now, rows, covers=covers):
            return None
        self._count(outcome for _, outcome, _ in everybody if outcome not in RETRYABLE)
        return everybody

    def leave_out(self, run_id: str, batch_no: int, attempt: int, messages: Sequence[int], outcome: Outcome) -> None:
        """End messages that will not be sent any more; a no-op if another worker has just claimed their batch."""
        now = self.clock()
        rows = [
            OutcomeRow(run_id, message_no, attempt, Source.POLICY, outcome, outcome.value, "", now)
            for message_no in messages
        ]
        key = run_id, batch_no, attempt
        if ledger.claim(self.engine, *key, self.worker, now, lambda _connection: rows, covers=messages):
            self._count(outcome for _ in rows)

    def _through_the_channel(self, batch: Batch, size: int) -> list[Result]:
        """One result a message; what the channel forgot is in doubt."""
        results: list[Result] = []
        held = False
        for piece in batch.pieces(size):
            if held:
                results += [Result(number, Kind.HELD_BACK, "held_back") for number in piece.numbers]
                continue
            answered = self.channel.send(piece)
            results += answered
            held = any(VERDICTS[kind].action in HALTING for kind in {result.kind for result in answered})
        by_message = {result.message_no: result for result in results}
        if len(by_message) < len(batch.messages):
            forgotten = (number for number in batch.numbers if number not in by_message)
            by_message |= {number: Result(number, Kind.NO_ANSWER, "no_result") for number in forgotten}
        return list(by_message.values())

    def _record(self, batch: Batch, results: Sequence[Result], *, whole: bool) -> None:
        """`whole`: the claim covered all messages of the batch: one row can stand for those that fared alike."""
        if not results:
            return
        now = self.clock()
        fared = Counter((result.kind, result.code, result.provider_id) for result in results)
        (common, alike), *_ = fared.most_common(1)
        for_all = [_row_of_batch(batch, *common, now)] if whole and alike > 1 else []
        rows = [
            OutcomeRow(batch.run_id, r.message_no, batch.attempt, Source.SEND, r.outcome, r.code, r.provider_id, now)
            for r in (results if not for_all else _others(results, common, alike))
        ]
        suppressions = self._suppressions(batch, results, now) if any(kind in SUPPRESSES for kind, *_ in fared) else ()
        self._write_down(rows, for_all, suppressions)
        for (kind, *_), count in fared.items():
            if VERDICTS[kind].outcome not in RETRYABLE:
                self._count({VERDICTS[kind].outcome: count})
        for guard in self.guards:
            guard.told(batch, results, now)
        if any(VERDICTS[kind].action in HALTING for kind, *_ in fared):
            halting = next(result for result in results if result.action in HALTING)
            self.halted = Halted(
                f"{batch.run_id}: {self.channel.provider} answered {halting.code}: {VERDICTS[halting.kind].says}",
                HINTS[halting.action].format(breaker=of_channel(self.channel.name)),
            )
            raise self.halted

    def _write_down(
        self, rows: Sequence[OutcomeRow], for_all: Sequence[BatchOutcome], suppressions: Sequence[Suppression]
    ) -> None:
        """What is known here and nowhere else is not given up because the database is away for a moment."""
        for number, pause in enumerate((*WITHOUT_DATABASE, None)):
            try:
                with writing(self.engine) as connection:
                    ledger.append(connection, rows, for_all, fresh=number == 0)
                    if suppressions:
                        suppress(connection, suppressions)
                return
            except Unavailable:  # it may have been committed for all that: the same again is passed over
                if pause is None:
                    raise
                self.patience.sleep(pause)

    def _suppressions(self, batch: Batch, results: Sequence[Result], now: datetime) -> Sequence[Suppression]:
        messages = {message.message_no: message for message in batch.messages}
        return [
            Suppression(
                self.channel.name,
                messages[result.message_no].address,
                SUPPRESSES[result.kind],
                f"{self.channel.provider}:{result.code}:{messages[result.message_no].message_id}",
                now,
            )
            for result in results
            if result.action == Action.SUPPRESS
        ]

    def _count(self, outcomes: Iterable[Outcome] | Mapping[Outcome, int]) -> None:
        with self._lock:
            self.counts.update(outcomes)


def _is_before(one: Permit, other: Permit) -> bool:
    """Whether `one` says when the run goes on: what holds for all batches does, else the first to end."""
    if one.for_all != other.for_all:
        return one.for_all
    return one.later is not None and (other.later is None or one.later < other.later)


def _without(batch: Batch, left_out: Sequence[LeftOut]) -> Batch:
    if not left_out:
        return batch
    return batch.only(set(batch.numbers) - {one.message_no for one in left_out})


def _row_of_batch(batch: Batch, kind: Kind, code: str, provider_id: str, at: datetime) -> BatchOutcome:
    outcome = VERDICTS[kind].outcome
    return BatchOutcome(batch.run_id, batch.batch_no, batch.attempt, Source.SEND, outcome, code, provider_id, at)


def _others(results: Sequence[Result], common: tuple[Kind, str, str], alike: int) -> Iterable[Result]:
    """Those that fared otherwise."""
    if alike == len(results):
        return ()
    return (result for result in results if (result.kind, result.code, result.provider_id) != common)
