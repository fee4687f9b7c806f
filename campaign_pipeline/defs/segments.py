"""Segments: which contacts a run's segment picks, as of the run's time."""

import dagster as dg

from campaign_pipeline.campaigns.store import load_run
from campaign_pipeline.core.database import reading
from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.presentation import Materialised, table
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.segments import line_by_line, pick_members


@dg.asset(
    group_name="segments",
    kinds={"duckdb", "parquet"},
    partitions_def=campaign_runs,
    deps=["contact_snapshot", "behaviour_history"],
    owners=["team:data"],
)
def segment_members(context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]) -> Materialised:
    """The contacts that the run's segment picks, and what each line of it keeps. Final once messages are planned."""
    with reading(installation.engine) as connection:
        run = load_run(connection, context.partition_key)
    found, shown = pick_members(installation, run)
    return Materialised(
        metadata={
            "dagster/row_count": found.height,
            "segment": run.campaign.segment,
            "as_of": run.as_of.isoformat(),
            **({"line_by_line": table(line_by_line(shown))} if shown else {}),
        }
    )
