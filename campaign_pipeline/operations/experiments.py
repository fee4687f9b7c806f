"""Planning the next experiment, also from what an earlier run has shown."""

from typing import Any

import polars as pl

from campaign_pipeline.analytics.experiments.planning import Plan
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.results import compare, newest_measured

LIFTS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Relative lifts of the table of a plan, beside the one that is asked for."""


def plan_from(
    installation: Installation,
    campaign: str,
    metric: str | None,
    *,
    alpha: float | None = None,
    power: float | None = None,
    sequential: bool | None = None,
) -> tuple[Plan, int]:
    """A plan with the baseline, the arms and the rules of the newest measured run of `campaign`, and its units.

    `metric` None: the campaign's goal. The baseline is the control's. NotFound without such a figure.
    """
    run = newest_measured(installation, campaign)
    results = compare(installation, run.run_id, None)
    chosen = metric or str(run.campaign.goal)
    found = results.filter(pl.col("is_control") & (pl.col("metric") == chosen))
    if found.is_empty() or not found["mean"][0]:
        names = ", ".join(results.filter(pl.col("is_control") & (pl.col("mean") > 0))["metric"]) or "none"
        raise NotFound(
            f"run {run.run_id} has no figure of {chosen!r} to plan from", f"It has: {names}. Or give a --baseline."
        )
    row, rules = found.row(0, named=True), run.campaign.analysis
    shares = run.campaign.weights
    if len(shares) < 2:
        shares = {run.campaign.control: 0.5, "treatment": 0.5}
    plan = Plan(
        mean=row["mean"],
        variance=None if row["metric_type"] == "proportion" else row["variance"],
        control=run.campaign.control,
        shares=shares,
        alpha=alpha or rules.alpha,
        power=power or rules.power,
        sequential=rules.decision == "sequential" if sequential is None else sequential,
    )
    units: list[int] = results.filter(pl.col("metric") == chosen)["units"].to_list()
    return plan, sum(units)


def answer_of(plan: Plan, lift: float | None, units: int | None) -> dict[str, Any]:
    """The units that `lift` needs, what `units` find, and both for a table of lifts; JSON-ready."""
    found = plan.detectable(units) if units else None
    lifts: list[float] = sorted({*LIFTS, *([lift] if lift else [])})
    return {
        "baseline": plan.mean,
        "variance": plan.variance,
        "alpha": plan.alpha,
        "alpha_per_treatment": plan.alpha_each,
        "power": plan.power,
        "decision": "sequential" if plan.sequential else "fixed",
        "standard_errors_needed": plan.critical,
        "arms": dict(plan.shares),
        "lift": lift,
        "needed": _needed(plan, lift) if lift else None,
        "units": units,
        "power_at_units": plan.power_at(lift * abs(plan.mean), units) if lift and units else None,
        "detectable": None if found is None else {"absolute": found, "relative": found / abs(plan.mean)},
        "table": [
            {
                "lift": each,
                "absolute": each * abs(plan.mean),
                "needed": plan.units_for(each * abs(plan.mean)),
                "power": plan.power_at(each * abs(plan.mean), units) if units else None,
            }
            for each in lifts
            if plan.variance is not None or 0 <= plan.mean * (1 + each) <= 1
        ],
    }


def _needed(plan: Plan, lift: float) -> dict[str, Any]:
    units = plan.units_for(lift * abs(plan.mean))
    by_arm = plan.by_arm(units)
    return {"units": sum(by_arm.values()), "by_arm": by_arm}
