"""Sending what of a run is due: the ledger says what is left, the sender takes it batch by batch.

Calling it again is always safe: what was claimed once is not claimed again, unless it certainly never left.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
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
from campaign_pipeline.dispatch.guards.base import Guard, Permit
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.sender import Sender
from campaign_pipeline.dispatch.states import OPEN, STANDBY, states

LOADED_TOGETHER = 64
"""Batches whose messages are loaded at once; those before them are still being sent."""


@dataclass(frozen=True)
class Sent:
    """What one call did."""

    outcomes: Counter[Outcome]  # messages that it brought to an end
    left: int  # messages that may still be sent later: not due, held back, or to be tried again
    ended_by: RunState | Outcome | None  # paused, cancelled, expired; None: it went through
    next_at: datetime | None = None  # when the first of them is due; None: nobody can say, or nothing is left
    why: str = ""  # what holds them back till then, in words

    def __str__(self) -> str:
        done = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items())) or "nothing to send"
        why = self.ended_by or self.why
        return f"{done}; {self.left} left{f' ({why})' if why else ''}"


class Todo(NamedTuple):
    """The messages of a batch that may be sent, and the attempt that this will be."""

    batch_no: int
    attempt: int
    send_at: datetime  # the latest of its messages'
    channel: str | None  # None: the file is older than campaigns with several channels
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
    guards: Sequence[Guard] = (),
    stopped: Callable[[], RunState | None] = lambda: None,
    progress: Progress = lambda _done, _total: None,
    patience: Patience | None = None,
    senders: int = 1,
) -> Sent:
    """Send every batch of the run that is due on the channel, once. Several workers may do so at the same time.

    `worker` names who claims. After `deadline` nothing is sent: what is open expires. `guards` are asked before each
    claim; so is `stopped`: PAUSED ends the call, CANCELLED also ends every message that was not sent. `progress` gets
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
    due = [batch for batch in todo if batch.send_at <= now and batch.channel in (None, channel.name.value)]
    sender = Sender(engine, channel, worker, clock, deadline, guards, stopped, patience or Patience())

    with ThreadPoolExecutor(senders, thread_name_prefix="sender") as pool:

        def send_all(batches_due: Sequence[Todo]) -> None:
            for last_time in (False, True):
                under_way: Iterable[None] = ()
                for group in _groups(engine, run_id, worker, batches_due, last_time=last_time):
                    if sender.over() or (sender.put_off and sender.put_off.for_all):
                        break
                    rows = file.load([batch.batch_no for batch in group])
                    batches = (file.batch(rows, batch.batch_no, batch.attempt, batch.messages) for batch in group)
                    sending = pool.map(sender.send, batches) if senders > 1 else map(sender.send, batches)
                    finish(under_way)  # of the group before, while this one was loaded and began
                    under_way = sending
                finish(under_way)

        def finish(sent: Iterable[None]) -> None:
            for _ in sent:
                progress(done_before + sender.counts.total(), index.height)

        send_all(due)
        if sender.aside:  # only these are left, and wait for their turn
            sender.patient = True
            send_all([batch for batch in open_batches(engine, run_id, index) if batch.batch_no in sender.aside])
    if sender.over() and sender.ended_by in (Outcome.CANCELLED, Outcome.EXPIRED):
        for batch in open_batches(engine, run_id, index, {*OPEN, STANDBY}):
            outcome = Outcome(sender.ended_by)
            sender.leave_out(run_id, batch.batch_no, batch.attempt, batch.messages, outcome)
    rest = open_batches(engine, run_id, index)
    left = sum(len(batch.messages) for batch in rest)
    put_off = sender.put_off if left else None
    why = put_off.why if put_off else ""
    return Sent(sender.counts, left, sender.ended_by, _next_at(rest, now, put_off), why)


def _next_at(rest: Sequence[Todo], now: datetime, put_off: Permit | None) -> datetime | None:
    """When the first of `rest` may go; None: at once, as far as anybody can say. `put_off`: what the guards said."""
    later = put_off.later if put_off else None
    if put_off and put_off.for_all:
        return later
    moments = [batch.send_at for batch in rest if batch.send_at > now]
    if len(moments) < len(rest):
        return min([later, *moments]) if later else None
    return min(moments, default=None)


def _groups(
    engine: sa.Engine, run_id: str, worker: str, due: Sequence[Todo], *, last_time: bool
) -> Iterator[Sequence[Todo]]:
    """What to load and send together, without what others have claimed meanwhile.

    A group that another worker is at is passed over, and looked at the `last_time`: it may have died there.
    """
    for start in range(0, len(due), LOADED_TOGETHER):
        group = due[start : start + LOADED_TOGETHER]
        with reading(engine) as connection:
            claimed = ledger.claimed_by(connection, run_id, group[0].batch_no, group[-1].batch_no)
        rest = [batch for batch in group if (batch.batch_no, batch.attempt) not in claimed]
        others = {claimed[key] for key in ((b.batch_no, b.attempt) for b in group) if key in claimed} - {worker}
        if rest and (last_time or not others):
            yield rest


def open_batches(engine: sa.Engine, run_id: str, index: pl.DataFrame, wanted: Collection[str] = OPEN) -> list[Todo]:
    """What may be sent, or is in one of the `wanted` states, by batch in order; `index` as BatchFile.index."""
    with reading(engine) as connection:
        held = ledger.read_ledger(connection, run_id)
    last = held.claims.group_by("batch_no").agg(attempt=pl.col("attempt").max() + 1)
    grouped = (
        states(index, held)
        .filter(pl.col("state").is_in(list(wanted)))
        .select("message_no", "batch_no")
        .join(index.select("message_no", "send_at", "channel"), on="message_no")
        .group_by("batch_no")
        .agg(pl.col("send_at").max(), pl.col("channel").first(), pl.col("message_no").sort())
        .join(last, on="batch_no", how="left")
        .select("batch_no", pl.col("attempt").fill_null(1), "send_at", "channel", "message_no")
        .sort("batch_no")
    )
    return [Todo(*row) for row in grouped.iter_rows()]
