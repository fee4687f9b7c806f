"""Analytics: facts, metrics, A/B results, and the warehouse that analysts open."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from campaign_pipeline.analytics.charts import funnel_chart, png_base64
from campaign_pipeline.analytics.experiment_charts import chance_chart, lift_chart, rates_chart
from campaign_pipeline.analytics.warehouse import rebuild_warehouse
from campaign_pipeline.defs.partitions import campaign_runs, run_days, split_run_day
from campaign_pipeline.defs.presentation import Materialised, picture, table
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.results import (
    compare,
    measure_assignments,
    measure_facts,
    measure_metrics,
    run_account,
)

SHOWN = ("variant", "planned", "accepted", "delivered", "opened", "clicked", "replied", "unsubscribed", "bounced")


@dg.asset(
    group_name="analytics",
    kinds={"duckdb", "parquet"},
    partitions_def=campaign_runs,
    deps=["dispatch", "conversions", dg.AssetDep("delivery_events", partition_mapping=dg.AllPartitionMapping())],
    owners=["team:data"],
)
def message_facts(context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]) -> Materialised:
    """One row a contact of the run: what was decided, what became of the message, what the contact did."""
    facts = measure_facts(installation, context.partition_key)
    return Materialised(metadata={"dagster/row_count": facts.height})


@dg.asset(
    group_name="analytics",
    kinds={"duckdb", "parquet"},
    partitions_def=campaign_runs,
    deps=["message_facts"],
    check_specs=[
        dg.AssetCheckSpec(
            "adds_up",
            asset="campaign_metrics",
            description="planned = accepted + failed + suppressed late + in doubt + in flight + waiting",
        )
    ],
    owners=["team:data"],
)
def campaign_metrics(context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]) -> Materialised:
    """The run's figures by variant, and by variant and day."""
    metrics = measure_metrics(installation, context.partition_key)
    account = run_account(installation, context.partition_key)
    days = installation.lake.read("campaign_days", context.partition_key)
    return Materialised(
        metadata={
            "dagster/row_count": metrics.height,
            **account,
            "metrics": table(metrics.select(SHOWN)),
            "funnel": picture(png_base64(funnel_chart(metrics)), "Messages by stage and variant"),
            "rates": picture(png_base64(rates_chart(metrics, days)), "Rates so far by day and variant"),
        },
        check_results=[dg.AssetCheckResult(check_name="adds_up", passed=True, metadata=dict(account))],
    )


@dg.asset(
    group_name="analytics",
    kinds={"duckdb", "parquet"},
    partitions_def=campaign_runs,
    deps=["audience", "message_facts"],
    owners=["team:data"],
)
def assignments(context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]) -> Materialised:
    """Who was assigned to what in the run's experiment, since when, and who got the message."""
    found = measure_assignments(installation, context.partition_key)
    by_variant = found.group_by("experiment", "status", "variant").agg(
        contacts=pl.len(),
        kept_from_earlier_runs=(pl.col("first_run_id") != pl.col("run_id")).sum(),
        reassigned=pl.col("reassigned_from").count(),
        exposed=pl.col("exposed_at").count(),
    )
    return Materialised(
        metadata={
            "dagster/row_count": found.height,
            "by_variant": table(by_variant.sort("experiment", "status", "variant")),
        }
    )


@dg.asset(
    group_name="analytics",
    kinds={"scipy", "parquet"},
    partitions_def=run_days,
    deps=["message_facts"],
    owners=["team:data"],
)
def ab_results(context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]) -> Materialised:
    """The run's A/B result as it stood at the end of the day: lift, interval, p-value, sample ratio, decision."""
    run_id, day = split_run_day(context.partition_key)
    results = compare(installation, run_id, date.fromisoformat(day))
    installation.lake.write(results, "ab_results", f"{run_id}/{day}")
    shown = results.select(
        *("metric", "variant", "n", "mean", "absolute", "absolute_low", "absolute_high", "p", "seq_p", "prob_best")
    )
    metadata: dict[str, Any] = {
        "dagster/row_count": results.height,
        "results": table(shown),
    }
    decided = results.filter(pl.col("decision").is_not_null())
    if decided.height:
        metadata["decisions"] = table(decided.select("variant", "metric", "decision", "decision_reason"))
        metadata["sample_ratio_p"] = decided["srm_p"][0]
        metadata["lift"] = picture(png_base64(lift_chart(results)), "Lift over control by metric, with intervals")
        metadata["best"] = picture(png_base64(chance_chart(results)), "Probability of each variant to be the best")
    return Materialised(metadata=metadata)


@dg.asset(
    group_name="analytics",
    kinds={"duckdb"},
    deps=[
        dg.AssetDep("campaign_metrics", partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep("ab_results", partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep("assignments", partition_mapping=dg.AllPartitionMapping()),
    ],
    owners=["team:data"],
)
def warehouse(installation: dg.ResourceParam[Installation]) -> Materialised:
    """data/warehouse.duckdb: views over the lake, built beside and swapped in whole."""
    views = rebuild_warehouse(installation.settings, installation.lake)
    return Materialised(
        metadata={
            "path": dg.MetadataValue.path(installation.settings.warehouse_path),
            **{f"{v}_files": n for v, n in views.items()},
        }
    )
