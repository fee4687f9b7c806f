"""What events say to the ledger: that a message in doubt was taken, and that another channel is called for.

Each has transactions of its own, and may be repeated with the same events.
"""

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.store import load_run
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import runs
from campaign_pipeline.core.words import EventType
from campaign_pipeline.dispatch import fallbacks
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.reconcile import awaiting_proof, settle_by_events

_FAILED = [EventType.UNDELIVERED.value, EventType.FAILED.value]
_REACHED = [EventType.DELIVERED.value, EventType.READ.value]


def known_runs(engine: sa.Engine, events: pl.DataFrame) -> set[str]:
    """The runs of this installation that `events` are about: others may share the provider's account with it."""
    run_ids = sorted(set(events.get_column("run_id").unique()) - {""})
    if not run_ids:
        return set()
    with reading(engine) as connection:
        return set(run_ids) & set(connection.execute(sa.select(runs.c.run_id)).scalars())


def settle_doubts(engine: sa.Engine, lake: Lake, settings: Settings, events: pl.DataFrame, ours: set[str]) -> int:
    """How many messages in doubt turned out to be accepted: whatever a provider reports about one proves that.

    `events`: columns normalise.WORKING. `ours`: runs of this installation. Few runs have doubts: others are not read.
    """
    with reading(engine) as connection:
        in_doubt = awaiting_proof(connection, ours)
    settled = 0
    for run_id in sorted(in_doubt):
        if not lake.exists("messages", run_id):
            continue
        proofs = (
            events.filter(pl.col("run_id") == run_id, pl.col("provider_id") != "", pl.col("raw_type") != "inbound")
            .select("message_id", "provider_id", "attempt")
            .unique(["message_id", "attempt"], keep="first", maintain_order=True)
            # Of several proofs of a message the first counts: one that names the attempt is worth more.
            .sort("attempt", nulls_last=True, maintain_order=True)
        )
        if proofs.height:
            settled += settle_by_events(engine, lake, run_id, proofs, settings.clock())
    return settled


def fall_back(engine: sa.Engine, lake: Lake, settings: Settings, events: pl.DataFrame, ours: set[str]) -> None:
    """Call up the next channel for those whom one did not reach, or end it."""
    for run_id in sorted(ours):
        if not lake.exists("messages", run_id) or not BatchFile(lake, run_id).has_fallbacks:
            continue
        of_run = events.filter(pl.col("run_id") == run_id)
        failed = of_run.filter(pl.col("type").is_in(_FAILED)).select("message_id", "reason")
        reached = of_run.filter(pl.col("type").is_in(_REACHED)).get_column("message_id")
        if not failed.height and not reached.len():
            continue
        with reading(engine) as connection:
            run = load_run(connection, run_id)
        until = run.as_of + run.campaign.fallback_within
        fallbacks.advance(
            engine,
            lake,
            run_id,
            now=settings.clock(),
            until=until,
            failed=dict(failed.iter_rows()),
            reached=set(reached),
        )
