"""Events: what the inbox received, normalised; and the events of each day, without duplicates."""

import dagster as dg
import polars as pl

from campaign_pipeline.defs.partitions import days
from campaign_pipeline.defs.presentation import Materialised, table
from campaign_pipeline.events.days import RULES, build_day, rules_of
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.events.machines import machine_rules
from campaign_pipeline.operations.installation import Installation


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
            "touched_days": dg.MetadataValue.json(sorted(received.touched_days)),
            "touched_runs": dg.MetadataValue.json(sorted(received.touched_runs)),
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
    """All events that happened on one day (UTC), each once, however often and late it arrived; human or machine."""
    lake, day = installation.lake, context.partition_key
    events = build_day(lake, day, machine_rules(installation.settings.machine_rules))
    by_type = events.group_by("channel", "type").agg(events=pl.len()).sort("channel", "type").collect()
    by_machines = events.filter("machine").group_by("type", "machine_reason").agg(events=pl.len())
    return Materialised(
        metadata={
            "dagster/row_count": int(by_type.get_column("events").sum()),
            "by_type": table(by_type),
            "by_machines": table(by_machines.sort("type", "machine_reason").collect()),
            RULES: rules_of(lake, day),
        }
    )
