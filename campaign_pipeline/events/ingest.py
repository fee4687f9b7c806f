"""Taking in the inbox: to the lake, to suppressions and consent, and to the ledger where a doubt is settled.

Each batch of the inbox goes to one partition named after the bytes it came from. Partition, consequences and cursor
follow each other in one transaction, so that whatever breaks off is repeated into the same places.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.store import load_run
from campaign_pipeline.core.database import insert_new, reading, writing
from campaign_pipeline.core.ids import is_trial
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import inbox_cursors, runs
from campaign_pipeline.core.words import EventType
from campaign_pipeline.dispatch import fallbacks
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.reconcile import settle_by_events
from campaign_pipeline.events.attribution import attribute
from campaign_pipeline.events.confirmations import apply_confirmations
from campaign_pipeline.events.consequences import apply_consequences
from campaign_pipeline.events.conversations import note_conversations
from campaign_pipeline.events.days import build_day, touched_days
from campaign_pipeline.events.event import Event
from campaign_pipeline.events.filtering import halt_filtered
from campaign_pipeline.events.inbox_reader import Batch, Pending, Rejection, pending_bytes, read_new, set_aside
from campaign_pipeline.events.normalise import normalise, to_frame
from campaign_pipeline.events.preferences import apply_preferences

__all__ = ["Pending", "Received", "build_day", "pending_bytes", "receive"]

_PROOFS = {"message_id": pl.String, "provider_id": pl.String, "attempt": pl.Int64}


@dataclass
class Received:
    """What one call took in. `touched_days`: the days (YYYY-MM-DD) to build anew; `touched_runs`: runs of ours."""

    files: int = 0  # partitions written to received_events
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


def receive(engine: sa.Engine, lake: Lake, settings: Settings) -> Received:
    """Take in what the inbox received since the last call. Calling it at the same time twice does no harm."""
    received = Received()
    for batch in read_new(engine, settings.inbox_dir):
        _take_in(engine, lake, settings, batch, received)
    return received


def _take_in(engine: sa.Engine, lake: Lake, settings: Settings, batch: Batch, received: Received) -> None:
    every, rejections = normalise(batch.records)
    events = [event for event in every if not is_trial(event.run_id)]
    recipients = attribute(engine, lake, events)
    settled = _settle_doubts(engine, lake, settings, events)
    _fall_back(engine, lake, settings, events)
    events_frame = to_frame(events)
    now = settings.clock()
    with writing(engine) as connection:
        if not _holds_cursor(connection, batch, now):
            return  # another process took it in meanwhile
        if events:
            lake.write(events_frame, "received_events", batch.partition)
        soft_bounce = timedelta(days=settings.soft_bounce_days)
        suppressed, homeless = apply_consequences(
            connection, events, recipients, now, soft_bounce, settings.link_secret
        )
        halt_filtered(connection, settings, events, now)
        note_conversations(connection, events, now, settings.link_secret)
        preferences = apply_preferences(connection, batch.records, events, recipients)
        confirmed = apply_confirmations(connection, batch.records)
        rejected = [*batch.rejections, *rejections, *(_homeless(batch, event) for event in homeless)]
        set_aside(settings.inbox_dir, batch, rejected)
        connection.execute(
            sa.update(inbox_cursors)
            .where(inbox_cursors.c.file == batch.file)
            .values(position=batch.end, updated_at=now)
        )
    received.files += bool(events)
    received.events += len(events)
    received.touched_days |= touched_days(events_frame, lake)
    received.touched_runs |= _known_runs(engine, {event.run_id for event in events if event.run_id})
    received.suppressed += suppressed
    received.preferences += preferences
    received.confirmed += confirmed
    received.settled += settled
    received.rejected += len(rejected)
    received.trials += len(every) - len(events)
    received.unknown += sum(event.type is EventType.UNKNOWN for event in events)


def _holds_cursor(connection: sa.Connection, batch: Batch, now: datetime) -> bool:
    """Whether the file was read up to just this batch; locks the cursor until the transaction ends."""
    insert_new(connection, inbox_cursors, [{"file": batch.file, "position": 0, "updated_at": now}])
    query = sa.select(inbox_cursors.c.position).where(inbox_cursors.c.file == batch.file).with_for_update()
    return connection.execute(query).scalar_one() == batch.start


def _settle_doubts(engine: sa.Engine, lake: Lake, settings: Settings, events: Sequence[Event]) -> int:
    """Whatever a provider reports about a message proves that it took it. Its own transaction: it may be repeated."""
    by_run: defaultdict[str, dict[tuple[str, int | None], tuple[str, str, int | None]]] = defaultdict(dict)
    for event in events:
        if event.message_id and event.provider_id and event.raw_type != "inbound":
            key = (event.message_id, event.attempt)
            by_run[event.run_id].setdefault(key, (event.message_id, event.provider_id, event.attempt))
    settled = 0
    for run_id in sorted(_known_runs(engine, set(by_run))):
        if lake.exists("messages", run_id):
            proofs = pl.DataFrame(list(by_run[run_id].values()), schema=_PROOFS, orient="row")
            # Of several proofs of a message the first counts: one that names the attempt is worth more.
            proofs = proofs.sort("attempt", nulls_last=True, maintain_order=True)
            settled += settle_by_events(engine, lake, run_id, proofs, settings.clock())
    return settled


def _fall_back(engine: sa.Engine, lake: Lake, settings: Settings, events: Sequence[Event]) -> None:
    """Call up the next channel for those whom one did not reach, or end it. Its own transaction: it may be repeated."""
    failed: defaultdict[str, dict[str, str]] = defaultdict(dict)
    reached: defaultdict[str, set[str]] = defaultdict(set)
    for event in events:
        if event.type in (EventType.UNDELIVERED, EventType.FAILED):
            failed[event.run_id][event.message_id] = event.reason
        elif event.type in (EventType.DELIVERED, EventType.READ):
            reached[event.run_id].add(event.message_id)
    for run_id in sorted(_known_runs(engine, {*failed, *reached})):
        if not lake.exists("messages", run_id) or not BatchFile(lake, run_id).has_fallbacks:
            continue
        with reading(engine) as connection:
            run = load_run(connection, run_id)
        until = run.as_of + run.campaign.fallback_within
        fallbacks.advance(
            engine, lake, run_id, now=settings.clock(), until=until, failed=failed[run_id], reached=reached[run_id]
        )


def _known_runs(engine: sa.Engine, run_ids: set[str]) -> set[str]:
    """Those that are runs of this installation: others may share the provider's account with it."""
    if not run_ids:
        return set()
    with reading(engine) as connection:
        return run_ids & set(connection.execute(sa.select(runs.c.run_id)).scalars())


def _homeless(batch: Batch, event: Event) -> Rejection:
    content = f"{event.provider} {event.raw_type}, run {event.run_id or '?'}, message {event.message_id or '?'}"
    return Rejection(batch.start, "nobody to suppress: neither the message nor the payload has an address", content)
