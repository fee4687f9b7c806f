"""Events: what the inbox received, normalised; and the events of each day, without duplicates."""

import dagster as dg
import polars as pl

from campaign_pipeline.defs.partitions import days
from campaign_pipeline.defs.presentation import Materialised, table
from campaign_pipeline.events.days import build_day, rules_of
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.operations.installation import Installation

TOUCHED_DAYS = "touched_days"
TOUCHED_RUNS = "touched_runs"


@dg.asset(group_name="events", kinds={"parquet"}, deps=["dispatch"], owners=["team:data"])
def received_events(installation: dg.ResourceParam[Installation]) -> Materialised:
    """New events out of the inbox, normalised; opt-outs, complaints and hard bounces become suppressions here."""
    received = receive(installation.engine, installation.lake, installation.settings)
    return Materialised(
        metadata={
            "dagster/row_count": received.events,
            "suppressed": received.suppressed,
            "doubts_settled": received.settled,
            "unknown_types": received.unknown,
            "rejected": received.rejected,
            "of_tests_and_seeds": received.trials,
            TOUCHED_DAYS: dg.MetadataValue.json(sorted(received.touched_days)),
            TOUCHED_RUNS: dg.MetadataValue.json(sorted(received.touched_runs)),
        }
    )


@dg.asset(
    group_name="events",
    kinds={"duckdb", "parquet"},
    partitions_def=days,
    deps=["received_events"],
    owners=["team:data"],
)
def delivery_events(context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]) -> Materialised:
    """All events that happened on one day (UTC), each once, however often and late it arrived."""
    events = build_day(installation.lake, context.partition_key)
    by_type = events.group_by("channel", "type").agg(events=pl.len()).sort("channel", "type")
    return Materialised(metadata={"dagster/row_count": events.height, "by_type": table(by_type)})
