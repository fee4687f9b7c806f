"""What sending brought about: conversions of those who were sent to beside those who deliberately were not."""

from typing import Any

import polars as pl

from campaign_pipeline.analytics.models import run_model
from campaign_pipeline.analytics.statistics import Comparison, Sample, compare_means, compare_proportions
from campaign_pipeline.analytics.table_schemas import HOLDOUT_LIFT
from campaign_pipeline.core.words import HELD_OUT

METRICS = ("converted", "conversions", "revenue")
ATTRIBUTED = {"conversions": "attributed_conversions", "revenue": "attributed_revenue"}


def build_holdout_lift(facts: pl.DataFrame) -> pl.DataFrame:
    """The lift of one run over each of its holdouts (HOLDOUT_LIFT, where each column is explained), by metric.

    No rows where the campaign counts no conversions, or nobody is held out.
    """
    arms = run_model("holdout_arms", {"facts": facts}, float_sums=True)
    known = {(row["metric"], row["status"]): row for row in arms.iter_rows(named=True)}
    rows = [
        _row(facts, metric, against, known[metric, "planned"], known[metric, against])
        for against in HELD_OUT
        for metric in METRICS
        if (metric, against) in known and (metric, "planned") in known
    ]
    return pl.DataFrame(rows, schema=HOLDOUT_LIFT)


def _row(
    facts: pl.DataFrame, metric: str, against: str, planned: dict[str, Any], held_out: dict[str, Any]
) -> dict[str, Any]:
    comparison = _compare(metric, planned, held_out)
    n = planned["n"]

    def of_all(lift: float | None) -> float | None:
        return None if lift is None else lift * n

    return {
        "run_id": facts["run_id"][0],
        "campaign": facts["campaign"][0],
        "metric": metric,
        "against": against,
        "planned": n,
        "held_out": held_out["n"],
        "planned_mean": planned["mean"],
        "held_out_mean": held_out["mean"],
        "lift": comparison.absolute,
        "lift_low": comparison.absolute_low,
        "lift_high": comparison.absolute_high,
        "relative": comparison.relative,
        "relative_low": comparison.relative_low,
        "relative_high": comparison.relative_high,
        "p": comparison.p,
        "incremental": of_all(comparison.absolute),
        "incremental_low": of_all(comparison.absolute_low),
        "incremental_high": of_all(comparison.absolute_high),
        "total": planned["total"],
        "attributed": _attributed(facts, metric),
        "error": comparison.error,
    }


def _compare(metric: str, planned: dict[str, Any], held_out: dict[str, Any]) -> Comparison:
    if metric == "converted":
        control, treatment = (Sample.proportion(arm["n"], round(arm["total"])) for arm in (held_out, planned))
        return compare_proportions(control, treatment)
    control, treatment = (Sample(arm["n"], arm["mean"], arm["variance"]) for arm in (held_out, planned))
    return compare_means(control, treatment)


def _attributed(facts: pl.DataFrame, metric: str) -> float | None:
    """What the run is credited with of those who were planned, in the order of the facts."""
    if metric not in ATTRIBUTED:
        return None
    return float(sum(facts.filter(pl.col("status") == "planned")[ATTRIBUTED[metric]].drop_nulls()))
