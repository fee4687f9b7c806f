"""The partitions: a run of a campaign, a day of events, a run at a day, and a segment."""

import dagster as dg

from campaign_pipeline.events.received import DAYS_AHEAD, FIRST_DAY

campaign_runs = dg.DynamicPartitionsDefinition(name="campaign_run")
days = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat(), end_offset=DAYS_AHEAD)
segments = dg.DynamicPartitionsDefinition(name="segment")
run_days = dg.MultiPartitionsDefinition({"campaign_run": campaign_runs, "date": days})


def run_day(run_id: str, day: str) -> dg.MultiPartitionKey:
    return dg.MultiPartitionKey({"campaign_run": run_id, "date": day})


def split_run_day(key: str) -> tuple[str, str]:
    """(run_id, day) of a partition key of `run_days`."""
    keys = run_days.get_partition_key_from_str(key).keys_by_dimension
    return keys["campaign_run"], keys["date"]
