"""Quiet hours, asked again with the real time: the freeze chose a moment that was allowed, and a worker may be late.

A batch whose window is closed waits until it opens; if that is after the deadline, its messages expire at once. What
the provider refuses because of its own quiet hours rests for a while before it is tried again, in our window: it may
know of stricter hours than we do, and asking it every few seconds would change nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from campaign_pipeline.campaigns.windows import ANY_TIME, next_allowed
from campaign_pipeline.core.clock import as_utc
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.tables import batch_outcomes, outcomes
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.channels.base import Batch, Result
from campaign_pipeline.dispatch.channels.twilio_codes import CODES
from campaign_pipeline.dispatch.guards.base import CLEAR, Guard, LeftOut, Permit
from campaign_pipeline.dispatch.outcomes import Kind

REST = timedelta(hours=1)
"""How long a message rests that the provider refused for quiet hours."""

CODE = "quiet_hours"
"""In the ledger: why a message expired before its deadline."""

_REFUSALS = frozenset(str(code) for code, kind in CODES.items() if kind == Kind.QUIET_HOURS)


class InQuietHours(Guard):
    """`keeps`: whether the run keeps quiet hours on this channel; what a provider says counts in any case."""

    def __init__(self, engine: sa.Engine, run_id: str, *, keeps: bool, deadline: datetime | None) -> None:
        self._keeps, self._deadline = keeps, deadline
        self._refused: dict[int, datetime] = {}  # message_no -> when the provider refused it last
        self._refused_batches: dict[int, datetime] = {}
        self._remember(engine, run_id)

    def look(self, batch: Batch, now: datetime) -> Permit:
        window = batch.window if self._keeps else ANY_TIME
        opens = next_allowed(window, max([now, *self._rests_until(batch)]))
        if opens == now:
            return CLEAR
        if opens is None or (self._deadline and opens > self._deadline):
            return Permit(left_out=tuple(LeftOut(number, Outcome.EXPIRED, CODE) for number in batch.numbers))
        return Permit(later=opens)

    def told(self, batch: Batch, results: Sequence[Result], now: datetime) -> None:
        for result in results:
            if result.kind == Kind.QUIET_HOURS:
                self._refused[result.message_no] = now

    def _rests_until(self, batch: Batch) -> list[datetime]:
        moments = [self._refused[n] for n in batch.numbers if n in self._refused] if self._refused else []
        if batch.batch_no in self._refused_batches:
            moments.append(self._refused_batches[batch.batch_no])
        return [moment + REST for moment in moments]

    def _remember(self, engine: sa.Engine, run_id: str) -> None:
        """What earlier workers were told stands in the ledger."""
        with reading(engine) as connection:
            for table, number, known in (
                (outcomes, outcomes.c.message_no, self._refused),
                (batch_outcomes, batch_outcomes.c.batch_no, self._refused_batches),
            ):
                newest = sa.func.max(table.c.recorded_at).label("newest")
                query = sa.select(number, newest).where(table.c.run_id == run_id, table.c.code.in_(_REFUSALS))
                known.update({row[0]: as_utc(row.newest) for row in connection.execute(query.group_by(number))})
