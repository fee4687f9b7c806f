"""A/B results of campaign runs, analysed by assignment: everyone planned counts, sent or not."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from campaign_pipeline.analytics.experiments.design import (
    Correction,
    DecisionMode,
    Experiment,
    Metric,
    MetricKind,
    Rules,
)
from campaign_pipeline.analytics.experiments.results import analyse
from campaign_pipeline.analytics.models import Source, run_model
from campaign_pipeline.analytics.schemas import AB_RESULTS
from campaign_pipeline.analytics.statistics import RelativeMethod
from campaign_pipeline.analytics.table_schemas import CONVERSIONS, PRE_PERIOD
from campaign_pipeline.campaigns.analysis import Analysis
from campaign_pipeline.campaigns.definition import NOT_IN_TEST

CAMPAIGN_METRICS = (
    Metric("clicked", MetricKind.PROPORTION),
    Metric("replied", MetricKind.PROPORTION),
    Metric("opened", MetricKind.PROPORTION, decides=False),  # privacy proxies open for people
    Metric("read", MetricKind.PROPORTION),  # a receipt of the contact's own device, unlike an open
    Metric("delivered", MetricKind.PROPORTION),
    Metric("bounced", MetricKind.PROPORTION, lower_is_better=True),
    Metric("unsubscribed", MetricKind.PROPORTION, lower_is_better=True),
    Metric("complained", MetricKind.PROPORTION, lower_is_better=True),
)
"""What is compared in every run, in the order of the rows; columns of sql/analytics/ab_units.sql."""

CONVERSION_METRICS = (
    Metric("converted", MetricKind.PROPORTION, covariate="conversions_before"),
    Metric("revenue", MetricKind.REVENUE, covariate="revenue_before"),
    Metric("conversions", MetricKind.MEAN, covariate="conversions_before"),
)
"""The same where the campaign has conversions, with what contacts did before the start as covariate."""

END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


def ab_results(
    facts: pl.DataFrame,
    *,
    goal: str,
    control: str,
    weights: Mapping[str, float] | None = None,
    as_of_day: date | None = None,
    decide_from: date | None = None,
    rules: Rules | None = None,
    conversions: Source | None = None,
    pre_period: Source | None = None,
    revenue_cap: float | None = None,
    name: str | None = None,
) -> pl.DataFrame:
    """Result rows (schemas.AB_RESULTS) of one run's message facts: metric x variant, the control first.

    `goal` is the name of the metric that decides (see CAMPAIGN_METRICS), `weights` the variants' shares as the
    campaign defines them, `control` one of them. Events to the end of `as_of_day` (UTC) count; None: all.
    Before `decide_from` the decision is "running". Held-out contacts are no arm. Without `conversions` there are no
    metrics of them, and a goal of theirs has an error; without `pre_period` there is no CUPED. `name`: the
    experiment's; None: the campaign's. No rows where nobody was planned in the test.
    InvalidInput for an unknown goal or control.
    """
    if facts.filter((pl.col("status") == "planned") & (pl.col("variant") != NOT_IN_TEST)).is_empty():
        return pl.DataFrame(schema=AB_RESULTS)
    until = datetime.combine(as_of_day + timedelta(days=1), time(), UTC) if as_of_day else END_OF_TIME
    experiment = Experiment(
        name=name or facts["campaign"][0],
        run_id=facts["run_id"][0],
        metrics=_metrics(goal, revenue_cap, converting=conversions is not None, known_before=pre_period is not None),
        goal=goal,
        control=control,
        weights=weights,
        day=as_of_day,
        decide_from=decide_from,
        unit="contact",
        rules=rules or Rules(),
    )
    sources: dict[str, Source] = {
        "facts": facts,
        "conversions": pl.DataFrame(schema=CONVERSIONS) if conversions is None else conversions,
        "pre_period": pl.DataFrame(schema=PRE_PERIOD) if pre_period is None else pre_period,
    }
    units = run_model("ab_units", sources, {"until": until}, float_sums=True)
    if conversions is None:
        units = units.drop(metric.name for metric in CONVERSION_METRICS)
    return analyse(experiment, units)


def rules_of(analysis: Analysis) -> Rules:
    """The rules that a campaign's definition sets."""
    return Rules(
        alpha=analysis.alpha,
        decision=DecisionMode(analysis.decision),
        correction=Correction(analysis.correction),
        relative=RelativeMethod(analysis.relative),
        target=analysis.target,
        power=analysis.power,
        min_units=analysis.min_units,
        planned_units=analysis.planned_units,
        guardrails={str(name): margin for name, margin in analysis.guardrails.items()},
    )


def _metrics(goal: str, cap: float | None, *, converting: bool, known_before: bool) -> list[Metric]:
    wanted = [
        Metric(
            metric.name,
            metric.kind,
            covariate=metric.covariate if known_before else None,
            cap=cap if metric.kind is MetricKind.REVENUE else None,
        )
        for metric in CONVERSION_METRICS
        if converting or metric.name == goal
    ]
    return [*CAMPAIGN_METRICS, *wanted]
