"""Campaigns: the frozen audience of a run, and the gates that stand before its messages."""

import dagster as dg
import polars as pl

from campaign_pipeline.campaigns.audience import counts
from campaign_pipeline.campaigns.quiet_hours import rule_book
from campaign_pipeline.core.words import AudienceStatus
from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.presentation import Materialised, check_results, check_specs, table
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.runs import check_audience, freeze_audience, timetable

GATES = (
    "nobody_suppressed",
    "everybody_consented",
    "one_message_an_address",
    "before_the_deadline",
    "snapshot_fresh",
    "audience_not_empty",
)


@dg.asset(
    group_name="campaigns",
    kinds={"polars", "parquet"},
    partitions_def=campaign_runs,
    deps=["segment_members", "contact_snapshot"],
    check_specs=check_specs("audience", GATES, not_blocking=["audience_not_empty"]),
    owners=["team:marketing"],
)
def audience(context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]) -> Materialised:
    """Who is sent to, in which variant; who is not, and why. Frozen for good once messages are planned."""
    run, frozen = freeze_audience(installation, context.partition_key)
    statuses, times = frozen.get_column("status"), timetable(installation, run, frozen)
    return Materialised(
        metadata={
            "dagster/row_count": frozen.height,
            **{str(status): int((statuses == status).sum()) for status in AudienceStatus},
            "campaign": run.campaign.campaign,
            "channel": str(run.campaign.channel),
            "who_and_why_not": table(counts(frozen)),
            "variants": table(_variants(frozen)),
            "delayed_by_quiet_hours": times.delayed,
            "too_late_for_send_before": times.too_late,
            "send_times": table(times.hours.with_columns(pl.col("hour").dt.strftime("%Y-%m-%d %H:00 UTC"))),
            "quiet_hours_rules": rule_book().version,
        },
        check_results=check_results(check_audience(installation, run, frozen)),
    )


def _variants(frozen: pl.DataFrame) -> pl.DataFrame:
    planned = frozen.filter(pl.col("status") == AudienceStatus.PLANNED)
    sizes = planned.group_by("variant").agg(contacts=pl.len()).sort("variant")
    return sizes.with_columns(share=pl.col("contacts") / max(planned.height, 1))
