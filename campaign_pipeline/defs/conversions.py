"""Conversions: what contacts did after messages, and which runs get the credit."""

from collections.abc import Iterator

import dagster as dg

from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.presentation import Materialised
from campaign_pipeline.operations.attribution import count_conversions
from campaign_pipeline.operations.installation import Installation

SHARING_TAG = "campaigns/sharing"
"""On a Dagster run that measured a campaign's run: other runs whose credit changed by it, to be measured anew."""

DEPS = ["audience", "dispatch", dg.AssetDep("delivery_events", partition_mapping=dg.AllPartitionMapping())]


def _spec(key: str, description: str) -> dg.AssetSpec:
    kinds, owners = {"duckdb", "parquet"}, ["team:data"]
    return dg.AssetSpec(key, deps=DEPS, description=description, group_name="analytics", kinds=kinds, owners=owners)


@dg.multi_asset(
    name="run_conversions",
    partitions_def=campaign_runs,
    specs=[
        _spec("touches", "When the run's messages touched their contacts, as its campaign understands a touch."),
        _spec("conversions", "What contacts of the run did within its window, with the run's credit for it."),
        _spec("pre_period", "What contacts of the run did in as long a window before: the covariate of CUPED."),
    ],
)
def run_conversions(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> Iterator[Materialised]:
    """Nothing is written for a campaign that counts no conversions, and what follows goes on."""
    counted = count_conversions(installation, context.partition_key)
    if counted.stale:
        context.instance.add_run_tags(context.run.run_id, {SHARING_TAG: ",".join(counted.stale)})
    of_conversions = {"without_value": counted.without_value, "credit": counted.credit, "counts": counted.counts}
    yield Materialised(asset_key="touches", metadata={"dagster/row_count": counted.touches})
    yield Materialised(asset_key="conversions", metadata={"dagster/row_count": counted.conversions, **of_conversions})
    yield Materialised(asset_key="pre_period", metadata={"dagster/row_count": counted.contacts})
