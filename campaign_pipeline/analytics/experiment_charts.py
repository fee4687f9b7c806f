"""Charts of an A/B result: how far variants are apart, which is likely the best, and how that came about by day."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from campaign_pipeline.analytics.charts import WIDTH, by_arm, colour, labels, named_arms, nothing
from campaign_pipeline.analytics.verdict import chance

FIXED, SEQUENTIAL = "one look", "any time"
BY_DAY = ("delivered", "read", "opened", "clicked", "replied", "converted")
MOST_RATES, MOST_DAYS = 3, 90


def lift_rows(results: pl.DataFrame, *, proportions: bool = True) -> pl.DataFrame:
    """What lift_chart draws: metric, variant, interval, value, low, high; of proportions in percentage points.

    Two rows for each difference: the interval for one look, and the one that holds at any time, where there is one.
    """
    scale = 100 if proportions else 1
    kind = pl.col("metric_type") == "proportion"
    shown = results.filter((kind if proportions else ~kind) & pl.col("absolute_low").is_not_null())
    parts = [
        shown.select(
            "metric",
            "variant",
            interval=pl.lit(name),
            value=pl.col("absolute") * scale,
            low=pl.col(low) * scale,
            high=pl.col(high) * scale,
        )
        for name, low, high in ((FIXED, "absolute_low", "absolute_high"), (SEQUENTIAL, "seq_low", "seq_high"))
    ]
    return pl.concat(parts).drop_nulls("low")


def lift_chart(results: pl.DataFrame, *, proportions: bool = True) -> Any:
    """Difference from control by metric, with the fixed and the sequential interval side by side (of ab_results).

    Of proportions in percentage points; other metrics (`proportions` false) each on an axis of its own.
    """
    import altair as alt

    rows = lift_rows(results, proportions=proportions)
    if rows.is_empty():
        return nothing("there is no difference to show yet")
    metrics = rows["metric"].unique(maintain_order=True).to_list()
    if proportions:
        return _lifts(rows, metrics, results, "difference from control, percentage points")
    charts = [_lifts(rows.filter(pl.col("metric") == name), [name], results, f"{name} a contact") for name in metrics]
    return alt.vconcat(*charts)


def _lifts(rows: pl.DataFrame, metrics: list[str], results: pl.DataFrame, title: str) -> Any:
    import altair as alt

    arms = rows["variant"].unique().sort().to_list()
    keyed = rows.with_columns(place=pl.col("variant") + " " + pl.col("interval"))
    order = [f"{variant} {interval}" for variant in arms for interval in (FIXED, SEQUENTIAL)]
    base = alt.Chart(keyed).encode(
        y=alt.Y("metric:N", sort=metrics, title=None),
        yOffset=alt.YOffset("place:N", sort=order),
        color=colour(results["variant"].unique().sort().to_list(), shown=arms),
    )
    dashes = alt.StrokeDash(
        "interval:N",
        scale=alt.Scale(domain=[FIXED, SEQUENTIAL], range=[[1, 0], [5, 3]]),
        legend=alt.Legend(title="95% interval when one looks" if _usual(results) else "interval when one looks"),
    )
    interval = base.mark_rule(strokeWidth=3).encode(x=alt.X("low:Q", title=title), x2="high:Q", strokeDash=dashes)
    point = base.mark_point(filled=True, size=60, opacity=1).encode(x="value:Q")
    zero = alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(strokeDash=[2, 3], color="#888888").encode(x="zero:Q")
    return (zero + interval + point).properties(width=WIDTH, height=alt.Step(13))


def _usual(results: pl.DataFrame) -> bool:
    return results["confidence"].round(6).unique().to_list() == [0.95]


def chance_rows(results: pl.DataFrame) -> pl.DataFrame:
    """What chance_chart draws, of the goal: variant, prob_best."""
    return results.filter(pl.col("is_goal") & pl.col("prob_best").is_not_null()).select("variant", "prob_best")


def chance_chart(results: pl.DataFrame) -> Any:
    """How likely each variant is the best on the goal (of ab_results)."""
    import altair as alt

    rows = chance_rows(results)
    if rows.is_empty():
        return nothing("there is no probability to show yet")
    arms = results["variant"].unique().sort().to_list()
    percent, all_of_it = alt.Axis(format="%"), alt.Scale(domain=[0, 1])
    said = rows.with_columns(said=pl.col("prob_best").map_elements(chance, return_dtype=pl.String))
    base = alt.Chart(said).encode(
        x=alt.X("prob_best:Q", title="probability to be the best", scale=all_of_it, axis=percent),
        y=alt.Y("variant:N", title=None),
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(color=colour(arms, shown=()))
    return (bars + labels(base, "said:N")).properties(width=WIDTH, height=alt.Step(24))


def rate_rows(metrics: pl.DataFrame, days: pl.DataFrame, kinds: Sequence[str]) -> pl.DataFrame:
    """What rates_chart draws: day, variant, event, contacts (so far), planned, rate; the newest MOST_DAYS days.

    Each variant has a row on each day on which anything happened to any.
    """
    planned = by_arm(metrics, ["planned"]).filter(pl.col("planned") > 0)
    every = days.select(pl.col("day").unique().sort()).join(planned, how="cross")
    counted = days.group_by(named_arms(), "day").agg(pl.col(kinds).sum())
    return (
        every.join(counted, on=["variant", "day"], how="left")
        .with_columns(pl.col(kinds).fill_null(0))
        .sort("variant", "day")
        .with_columns(pl.col(kinds).cum_sum().over("variant"))
        .filter(pl.col("day").is_in(days["day"].unique().sort().tail(MOST_DAYS).implode()))
        .unpivot(kinds, index=["day", "variant", "planned"], variable_name="event", value_name="contacts")
        .with_columns(rate=pl.col("contacts") / pl.col("planned"))
    )


def rate_kinds(days: pl.DataFrame, goal: str | None) -> list[str]:
    """The kinds of events whose rates are worth a line: the goal first, at most MOST_RATES."""
    there = [kind for kind in BY_DAY if kind in days.columns and int(days[kind].sum())]
    later = sorted(there, key=lambda kind: (kind != goal, kind == "delivered", there.index(kind)))
    return later[:MOST_RATES]


def rates_chart(metrics: pl.DataFrame, days: pl.DataFrame, goal: str | None = None) -> Any:
    """Share of the planned contacts with an event by the end of each day, by variant (campaign_metrics, campaign_days).

    On the newest day it is the rate of ab_results, which counts by assignment as well.
    """
    import altair as alt

    kinds = rate_kinds(days, goal)
    if not kinds:
        return nothing("no events yet")
    rows = rate_rows(metrics, days, kinds).with_columns(pl.col("day").dt.to_string("%Y-%m-%d"))
    arms = rows["variant"].unique().sort().to_list()
    charts = [
        alt.Chart(rows.filter(pl.col("event") == kind))
        .mark_line(point=True, strokeWidth=2)
        .encode(
            x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("rate:Q", title=f"{kind}, of planned", axis=alt.Axis(format=".1%", tickCount=4)),
            color=colour(arms),
        )
        .properties(width=WIDTH, height=110)
        for kind in kinds
    ]
    return alt.vconcat(*charts)
