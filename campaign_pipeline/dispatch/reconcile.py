"""Resolving doubt: by asking the provider, and by events that prove what was processed. Never by sending again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import batch_outcomes, outcomes
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels.base import Channel, Doubt, Finding
from campaign_pipeline.dispatch.ledger import OutcomeRow, Source
from campaign_pipeline.dispatch.states import in_flight, states

NEEDS_PROOF = (Outcome.IN_DOUBT, Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.THROTTLED)
"""States that a proof changes: what was thought not processed is not sent again either."""


@dataclass(frozen=True)
class Settled:
    doubts: int  # messages that were in doubt, those in flight left aside
    found: int  # of these, the ones that the provider shows: now accepted


def settle_doubts(engine: sa.Engine, lake: Lake, run_id: str, channel: Channel, now: datetime) -> Settled:
    """Ask the provider about every message in doubt: what it shows is accepted, anything else stays in doubt."""
    file = BatchFile(lake, run_id)
    with reading(engine) as connection:
        held = ledger.read_ledger(connection, run_id)
    where = in_flight(states(file.index(), held), held.claims, now)
    in_doubt = where.filter(pl.col("state") == Outcome.IN_DOUBT.value)
    if not in_doubt.height or not channel.capabilities.lookup:
        return Settled(in_doubt.height, 0)
    doubts = _doubts(file, in_doubt, held.claims)
    with reading(engine) as connection:
        bound = _bound(connection)
    found = [
        OutcomeRow(run_id, one.message_no, one.attempt, Source.LOOKUP, Outcome.ACCEPTED, "", one.provider_id, now)
        for one in channel.lookup(doubts, bound)
        if one.finding == Finding.FOUND
    ]
    ledger.append_outcomes(engine, found)
    return Settled(in_doubt.height, len(found))


def settle_by_events(engine: sa.Engine, lake: Lake, run_id: str, proofs: pl.DataFrame, now: datetime) -> int:
    """Accept the messages that events prove to have been processed; how many that changed.

    `proofs`: message_id, provider_id (String), and attempt (Int) if the events carry it; any number of rows a message.
    Messages that are accepted already, and ids that are not of this run, change nothing: it may be called again
    with the same events.
    """
    index = BatchFile(lake, run_id).index()
    with reading(engine) as connection:
        held = ledger.read_ledger(connection, run_id)
    where = states(index, held).filter(pl.col("state").is_in([state.value for state in NEEDS_PROOF]))
    proven = (
        where.select("message_no", "batch_no", current="attempt")
        .join(index.select("message_no", "message_id"), on="message_no")
        .join(proofs.unique("message_id", keep="first", maintain_order=True), on="message_id")
        .with_columns(attempt=pl.coalesce("attempt", "current") if "attempt" in proofs.columns else pl.col("current"))
        # An event may name any attempt; only one that was claimed can be in the ledger.
        .join(held.claims.select("batch_no", "attempt"), on=["batch_no", "attempt"], how="semi")
        .select("message_no", "attempt", pl.col("provider_id").fill_null(""))
    )
    rows = [
        OutcomeRow(run_id, message_no, attempt, Source.EVENT, Outcome.ACCEPTED, "", provider_id, now)
        for message_no, attempt, provider_id in proven.iter_rows()
    ]
    ledger.append_outcomes(engine, rows)
    return len(rows)


def _doubts(file: BatchFile, in_doubt: pl.DataFrame, claims: pl.DataFrame) -> Sequence[Doubt]:
    claimed_at = {(batch, attempt): at for batch, attempt, _, at in claims.iter_rows()}
    rows = file.load(in_doubt.get_column("batch_no").unique().to_list())
    doubts: list[Doubt] = []
    for (batch_no, attempt), part in in_doubt.partition_by("batch_no", "attempt", as_dict=True).items():
        batch = file.batch(rows, batch_no, attempt, part.get_column("message_no").to_list())
        doubts += [Doubt(batch, message, claimed_at[batch_no, attempt]) for message in batch.messages]
    return doubts


def _bound(connection: sa.Connection) -> frozenset[str]:
    """Provider ids that belong to a message already, of any run."""
    ids = (sa.select(each.c.provider_id).where(each.c.provider_id != "") for each in (outcomes, batch_outcomes))
    return frozenset(connection.execute(sa.union(*ids)).scalars())
