"""Sending what of a run is due: the ledger says what is left, the sender takes it batch by batch.

Calling it again is always safe: what was claimed once is not claimed again, unless it certainly never left.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.progress import Progress
from campaign_pipeline.core.words import Outcome, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels.base import Channel
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.sender import Sender
from campaign_pipeline.dispatch.states import OPEN, states
from campaign_pipeline.dispatch.suppressed import Watch

LOADED_TOGETHER = 64
"""Batches whose messages are in memory at once."""


@dataclass(frozen=True)
class Sent:
    """What one call did."""

    outcomes: Counter[Outcome]  # messages that it brought to an end
    left: int  # messages that may still be sent later: not due, held back, or to be tried again
    ended_by: RunState | Outcome | None  # paused, cancelled, expired; None: it went through

    def __str__(self) -> str:
        done = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items())) or "nothing to send"
        why = f" ({self.ended_by})" if self.ended_by else ""
        return f"{done}; {self.left} left{why}"


class Todo(NamedTuple):
    """The messages of a batch that may be sent, and the attempt that this will be."""

    batch_no: int
    attempt: int
    send_at: datetime  # the latest of its messages'
    messages: Sequence[int]


def send_due(
    engine: sa.Engine,
    lake: Lake,
    run_id: str,
    channel: Channel,
    *,
    worker: str,
    clock: Clock,
    deadline: datetime | None = None,
    suppressed: Callable[[], Collection[str]] = frozenset,
    stopped: Callable[[], RunState | None] = lambda: None,
    progress: Progress = lambda _done, _total: None,
    patience: Patience | None = None,
    senders: int = 1,
) -> Sent:
    """Send every batch of the run that is due, once.

    `worker` names who claims. After `deadline` nothing is sent: what is open expires. `suppressed` gives the addresses
    that must not be sent to now; it is asked again whenever a suppression or consent was recorded. `stopped` is asked
    before each claim: PAUSED ends the call, CANCELLED also ends every message that was not sent. `progress` gets
    (messages that are done, messages of the run). `senders` threads send at once.
    Raises Halted when the provider refuses the account or the content, and Inconsistent when the lake's messages are
    not those that were planned; a later call takes up what is left.
    """
    file = BatchFile(lake, run_id)
    with reading(engine) as connection:
        ledger.require_plan(connection, run_id, file.content_hash())
    index = file.index()
    todo = open_batches(engine, run_id, index)
    done_before = index.height - sum(len(batch.messages) for batch in todo)
    now = clock()
    due = [batch for batch in todo if batch.send_at <= now]
    watch = Watch(engine, suppressed)
    sender = Sender(engine, channel, worker, clock, deadline, watch, stopped, patience or Patience())

    with ThreadPoolExecutor(senders, thread_name_prefix="sender") as pool:
        for start in range(0, len(due), LOADED_TOGETHER):
            if sender.over():
                break
            group = due[start : start + LOADED_TOGETHER]
            rows = file.load([batch.batch_no for batch in group])
            batches = (file.batch(rows, batch.batch_no, batch.attempt, batch.messages) for batch in group)
            for _ in pool.map(sender.send, batches) if senders > 1 else map(sender.send, batches):
                progress(done_before + sender.counts.total(), index.height)
    if sender.over() and sender.ended_by in (Outcome.CANCELLED, Outcome.EXPIRED):
        for batch in open_batches(engine, run_id, index):
            outcome = Outcome(sender.ended_by)
            sender.leave_out(run_id, batch.batch_no, batch.attempt, batch.messages, outcome)
    left = sum(len(batch.messages) for batch in open_batches(engine, run_id, index))
    return Sent(sender.counts, left, sender.ended_by)


def open_batches(engine: sa.Engine, run_id: str, index: pl.DataFrame) -> list[Todo]:
    """What may be sent, by batch in order; `index` as BatchFile.index."""
    with reading(engine) as connection:
        claims = ledger.read_claims(connection, run_id)
        outcomes = ledger.read_outcomes(connection, run_id)
    last = claims.group_by("batch_no").agg(attempt=pl.col("attempt").max() + 1)
    grouped = (
        states(index, claims, outcomes)
        .filter(pl.col("state").is_in(list(OPEN)))
        .select("message_no", "batch_no")
        .join(index.select("message_no", "send_at"), on="message_no")
        .group_by("batch_no")
        .agg(pl.col("send_at").max(), pl.col("message_no").sort())
        .join(last, on="batch_no", how="left")
        .select("batch_no", pl.col("attempt").fill_null(1), "send_at", "message_no")
        .sort("batch_no")
    )
    return [Todo(*row) for row in grouped.iter_rows()]
