"""Taking in the inbox: to the lake, to suppressions and consent, and to the ledger where a doubt is settled.

Each batch of the inbox goes to files named after the bytes it came from. Files, consequences, notes of what is stale
now (touched.py) and cursor follow each other in one transaction, so that whatever breaks off is repeated into the same
places. Most events have no consequences: they stay columns, and only the others become objects.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.database import insert_new, writing
from campaign_pipeline.core.ids import TRIAL, is_trial
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import inbox_cursors
from campaign_pipeline.core.words import EventType
from campaign_pipeline.events.attribution import attribute
from campaign_pipeline.events.bulk import events_of, read_posts
from campaign_pipeline.events.confirmations import apply_confirmations
from campaign_pipeline.events.consequences import apply_consequences
from campaign_pipeline.events.conversations import note_conversations
from campaign_pipeline.events.days import touched_days
from campaign_pipeline.events.event import Event
from campaign_pipeline.events.filtering import halt_filtered
from campaign_pipeline.events.inbox_reader import (
    BATCH_BYTES,
    Batch,
    Pending,
    Rejection,
    pending_bytes,
    read_new,
    set_aside,
)
from campaign_pipeline.events.normalise import normalise, to_working
from campaign_pipeline.events.preferences import apply_preferences
from campaign_pipeline.events.proofs import fall_back, known_runs, settle_doubts
from campaign_pipeline.events.received import write_received
from campaign_pipeline.events.touched import RunDay, note_events

__all__ = ["Pending", "Received", "pending_bytes", "receive"]


AHEAD = 2
"""Batches that are read while one is taken in."""


@dataclass
class Received:
    """What one call took in. `touched_days`: the days (YYYY-MM-DD) to build anew; `touched_runs`: runs of ours."""

    files: int = 0  # written to received_events
    events: int = 0  # rows in them: repetitions count
    touched_days: set[str] = field(default_factory=set[str])
    touched_runs: set[str] = field(default_factory=set[str])
    suppressed: int = 0  # suppressions that are new
    preferences: int = 0  # consents that contacts gave or withdrew on their page
    confirmed: int = 0  # consents that were pending and are granted now
    settled: int = 0  # messages in doubt that events proved to be accepted
    rejected: int = 0  # lines and items set aside in inbox/rejected
    unknown: int = 0  # events of a type we do not know
    trials: int = 0  # events of tests and seeds: they are kept nowhere, and have no consequences


@dataclass(frozen=True)
class _Read:
    """A batch whose payloads were read: `bulk` as columns, `events` as objects; the rest was not understood."""

    batch: Batch
    bulk: pl.DataFrame  # columns normalise.WORKING
    events: list[Event]
    rejections: list[Rejection]


def receive(engine: sa.Engine, lake: Lake, settings: Settings, batch_bytes: int = BATCH_BYTES) -> Received:
    """Take in what the inbox received since the last call. Calling it at the same time twice does no harm.

    While one batch is taken in the next ones are read; no more than AHEAD of them are in memory besides.
    """
    received = Received()
    for read in _ahead(engine, settings.inbox_dir, batch_bytes):
        _take_in(engine, lake, settings, read, received)
    return received


def _ahead(engine: sa.Engine, folder: Path, batch_bytes: int) -> Iterator[_Read]:
    reading: deque[Future[_Read]] = deque()
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="inbox-reader") as pool:
        for batch in read_new(engine, folder, batch_bytes):
            reading.append(pool.submit(_read, batch))
            if len(reading) > AHEAD:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()


def _read(batch: Batch) -> _Read:
    bulk, others = read_posts(batch.records)
    events, rejections = normalise(others)
    return _Read(batch, bulk, events, rejections)


def _take_in(engine: sa.Engine, lake: Lake, settings: Settings, read: _Read, received: Received) -> None:
    batch = read.batch
    bulk = read.bulk.filter(~pl.col("run_id").str.starts_with(TRIAL))
    events = [event for event in read.events if not is_trial(event.run_id)]
    consequential = [*events_of(bulk.filter(pl.col("suppress").is_not_null())), *events]
    recipients = attribute(engine, lake, consequential)
    rows = pl.concat([bulk, to_working(events)])
    ours = known_runs(engine, rows)
    settled = settle_doubts(engine, lake, settings, rows, ours)
    fall_back(engine, lake, settings, rows, ours)
    now = settings.clock()
    with writing(engine) as connection:
        if not _holds_cursor(connection, batch, now):
            return  # another process took it in meanwhile
        files = write_received(lake, rows, batch.partition)
        days = touched_days(rows, lake)
        note_events(connection, days, _run_days(rows, ours, days), now)
        soft_bounce = timedelta(days=settings.soft_bounce_days)
        suppressed, homeless = apply_consequences(
            connection, consequential, recipients, now, soft_bounce, settings.link_secret
        )
        halt_filtered(connection, settings, consequential, now)  # no event that is left out could be a filtered one
        note_conversations(connection, events, now, settings.link_secret)
        preferences = apply_preferences(connection, batch.records, events, recipients)
        confirmed = apply_confirmations(connection, batch.records)
        rejected = [*batch.rejections, *read.rejections, *(_homeless(batch, event) for event in homeless)]
        set_aside(settings.inbox_dir, batch, rejected)
        connection.execute(
            sa.update(inbox_cursors)
            .where(inbox_cursors.c.file == batch.file)
            .values(position=batch.end, updated_at=now)
        )
    received.files += len(files)
    received.events += rows.height
    received.touched_days |= days
    received.touched_runs |= ours
    received.suppressed += suppressed
    received.preferences += preferences
    received.confirmed += confirmed
    received.settled += settled
    received.rejected += len(rejected)
    received.trials += read.bulk.height + len(read.events) - rows.height
    received.unknown += rows.filter(pl.col("type") == EventType.UNKNOWN.value).height


def _run_days(rows: pl.DataFrame, ours: Iterable[str], days: set[str]) -> set[RunDay]:
    """The days on which runs have events; where the day after is built anew because of them, that one, too."""
    of_runs = rows.filter(pl.col("run_id").is_in(sorted(ours)))
    pairs = of_runs.select("run_id", day=pl.col("occurred_at").dt.date()).unique().iter_rows()
    found = {RunDay(run_id, str(each)) for run_id, day in pairs for each in _with_next(day)}
    return {each for each in found if each.day in days}


def _with_next(day: date) -> tuple[date, date]:
    return day, day + timedelta(days=1)


def _holds_cursor(connection: sa.Connection, batch: Batch, now: datetime) -> bool:
    """Whether the file was read up to just this batch; locks the cursor until the transaction ends."""
    insert_new(connection, inbox_cursors, [{"file": batch.file, "position": 0, "updated_at": now}])
    query = sa.select(inbox_cursors.c.position).where(inbox_cursors.c.file == batch.file).with_for_update()
    return connection.execute(query).scalar_one() == batch.start


def _homeless(batch: Batch, event: Event) -> Rejection:
    content = f"{event.provider} {event.raw_type}, run {event.run_id or '?'}, message {event.message_id or '?'}"
    return Rejection(batch.start, "nobody to suppress: neither the message nor the payload has an address", content)
