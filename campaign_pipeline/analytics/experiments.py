"""A/B results of campaign runs, analysed by assignment: everyone planned counts, sent or not."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from campaign_pipeline.analytics.models import run_model
from campaign_pipeline.analytics.results import Experiment, Metric, MetricKind, analyse
from campaign_pipeline.analytics.schemas import AB_RESULTS
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

END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


def ab_results(
    facts: pl.DataFrame,
    *,
    goal: str,
    control: str,
    weights: Mapping[str, float] | None = None,
    as_of_day: date | None = None,
    decide_from: date | None = None,
) -> pl.DataFrame:
    """Result rows (schemas.AB_RESULTS) of one run's message facts: metric x variant, the control first.

    `goal` is the name of the metric that decides (see CAMPAIGN_METRICS), `weights` the variants' shares as the
    campaign defines them, `control` one of them. Events to the end of `as_of_day` (UTC) count; None: all.
    Before `decide_from` the decision is "running". Held-out contacts are no arm.
    No rows where nobody was planned in the test. InvalidInput for an unknown goal or control.
    """
    if facts.filter((pl.col("status") == "planned") & (pl.col("variant") != NOT_IN_TEST)).is_empty():
        return pl.DataFrame(schema=AB_RESULTS)
    until = datetime.combine(as_of_day + timedelta(days=1), time(), UTC) if as_of_day else END_OF_TIME
    experiment = Experiment(
        name=facts["campaign"][0],
        run_id=facts["run_id"][0],
        metrics=CAMPAIGN_METRICS,
        goal=goal,
        control=control,
        weights=weights,
        day=as_of_day,
        decide_from=decide_from,
    )
    return analyse(experiment, run_model("ab_units", {"facts": facts}, {"until": until}))
