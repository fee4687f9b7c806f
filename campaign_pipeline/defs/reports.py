"""Reports: one of each run, and one of all runs of the last days."""

from datetime import timedelta

import dagster as dg

from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.presentation import Materialised
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.reports import publish_recent, publish_report


@dg.asset(
    group_name="analytics",
    kinds={"html"},
    partitions_def=campaign_runs,
    deps=["campaign_metrics", "ab_results"],
    owners=["team:marketing"],
)
def campaign_report(context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]) -> Materialised:
    """The run's report: one HTML file that needs nothing else."""
    path = publish_report(installation, [context.partition_key], context.partition_key)
    return Materialised(metadata={"report": dg.MetadataValue.path(path), "bytes": path.stat().st_size})


@dg.asset(
    group_name="analytics",
    kinds={"html"},
    deps=[
        dg.AssetDep("campaign_metrics", partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep("ab_results", partition_mapping=dg.AllPartitionMapping()),
    ],
    owners=["team:marketing"],
)
def recent_report(installation: dg.ResourceParam[Installation]) -> Materialised:
    """All runs of the last days in one HTML file, with an index."""
    since = installation.clock() - timedelta(days=installation.settings.report_days)
    published = publish_recent(installation, since)
    return Materialised(
        metadata={
            "report": dg.MetadataValue.path(published.path),
            "bytes": published.path.stat().st_size,
            "runs": [*published.runs],
            "in_the_index_alone": len(published.others),
        }
    )
