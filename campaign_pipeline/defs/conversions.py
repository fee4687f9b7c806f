"""Conversions: what contacts did after messages, and which runs get the credit."""

from collections.abc import Iterator

import dagster as dg

from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.presentation import Materialised
from campaign_pipeline.operations.attribution import count_conversions, note_for_measuring
from campaign_pipeline.operations.installation import Installation

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
    note_for_measuring(installation, counted.stale)  # their credit follows from touches, so that this comes to an end
    of_conversions = {"without_value": counted.without_value, "credit": counted.credit, "counts": counted.counts}
    yield Materialised(asset_key="touches", metadata={"dagster/row_count": counted.touches})
    yield Materialised(asset_key="conversions", metadata={"dagster/row_count": counted.conversions, **of_conversions})
    yield Materialised(asset_key="pre_period", metadata={"dagster/row_count": counted.contacts})
