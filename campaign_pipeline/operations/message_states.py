"""What the ledger says of the messages of a run, as its figures read it."""

from datetime import date, timedelta

import polars as pl

from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core.database import reading
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.states import states
from campaign_pipeline.operations.installation import Installation


def states_of(installation: Installation, run_id: str) -> pl.DataFrame:
    """The newest state of each message: dispatch.states.STATES; no rows before the run was rendered."""
    with reading(installation.engine) as connection:
        held = ledger.read_ledger(connection, run_id)
    return states(BatchFile(installation.lake, run_id).index(), held)


def first_day(run: Run) -> date:
    """No event of the run is older: nothing is sent before it was asked for. A day for clocks that differ."""
    return min(run.as_of, run.created_at).date() - timedelta(days=1)
