"""Segments: which contacts a run's segment picks, as of the run's time."""

import dagster as dg

from campaign_pipeline.campaigns.store import load_run
from campaign_pipeline.core.database import reading
from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.presentation import Materialised, table
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.segments import campaign_variants, line_by_line
from campaign_pipeline.segments.evaluate import members, preview
from campaign_pipeline.segments.session import open_session
from campaign_pipeline.segments.store import load_segments


@dg.asset(
    group_name="segments",
    kinds={"duckdb", "parquet"},
    partitions_def=campaign_runs,
    deps=["contact_snapshot", "behaviour_history"],
    owners=["team:data"],
)
def segment_members(context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]) -> Materialised:
    """The contacts that the run's segment picks, and what each line of the segment keeps."""
    with reading(installation.engine) as connection:
        run = load_run(connection, context.partition_key)
        library, campaigns = load_segments(connection), campaign_variants(connection)
    segment = library[run.campaign.segment]
    with open_session(installation.lake, campaigns=campaigns) as session:
        found = members(session, segment, library, run.as_of)
        shown = preview(session, segment, library, run.as_of)
    installation.lake.write(found, "segment_members", run.run_id)
    return Materialised(
        metadata={
            "dagster/row_count": found.height,
            "segment": segment.segment,
            "as_of": run.as_of.isoformat(),
            "line_by_line": table(line_by_line(shown)),
        }
    )
