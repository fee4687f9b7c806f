"""Charts, as Altair specifications; drawn to SVG for reports and to PNG for Dagster, without a browser.

Text and axes take `currentColor`, so that an inlined SVG follows its page from light to dark.
"""

import base64
import re
from typing import Any

import polars as pl

from campaign_pipeline.core.ids import digest

COLOURS = ("#3b82f6", "#f59e0b", "#10b981", "#ec4899", "#8b5cf6", "#64748b")
"""Told apart with the common colour deficiencies, and on white and on near-black."""

STAGES = ("accepted", "delivered", "read", "opened", "clicked", "replied", "bounced", "unsubscribed", "complained")
ALWAYS = ("accepted", "delivered", "bounced")

_AXIS = {"labelColor": "currentColor", "titleColor": "currentColor", "gridColor": "#88888833", "domainColor": "#888888"}
_CONFIG: dict[str, Any] = {
    "background": "transparent",
    "padding": {"left": 24, "right": 12, "top": 4, "bottom": 4},  # a page's font may be wider than ours
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        **_AXIS,
        "tickColor": "#888888",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 12,
    },
    "legend": {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 12, "orient": "top"},
    "range": {"category": list(COLOURS)},
}


def funnel_chart(metrics: pl.DataFrame) -> Any:
    """Share of the planned contacts that came to each stage, by variant (from campaign_metrics)."""
    import altair as alt

    stages = [stage for stage in STAGES if stage in ALWAYS or int(metrics[stage].sum())]
    shares = (
        metrics.filter(pl.col("planned") > 0)
        .select("variant", "planned", *stages)
        .unpivot(stages, index=["variant", "planned"], variable_name="stage", value_name="contacts")
        .with_columns(share=pl.col("contacts") / pl.col("planned"))
    )
    if shares.is_empty():
        return _nothing("nobody was planned")
    return (
        alt.Chart(shares)
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=alt.X("share:Q", title="share of planned contacts", axis=alt.Axis(format="%")),
            y=alt.Y("stage:N", sort=stages, title=None),
            yOffset="variant:N",
            color=alt.Color("variant:N", title=None),
        )
        .properties(width=560, height=alt.Step(14 if metrics.height > 1 else 22))
    )


def lift_chart(results: pl.DataFrame) -> Any:
    """Absolute difference from control with its interval, by metric (proportions of ab_results, in points)."""
    import altair as alt

    rows = results.filter((pl.col("metric_type") == "proportion") & pl.col("absolute_low").is_not_null()).select(
        "metric",
        "variant",
        *((pl.col(column) * 100).alias(column) for column in ("absolute", "absolute_low", "absolute_high")),
    )
    if rows.is_empty():
        return _nothing("there is no difference to show yet")
    order = rows["metric"].unique(maintain_order=True).to_list()
    variants = alt.Scale(domain=results["variant"].unique().sort().to_list())  # the colours of the funnel
    shown = alt.Legend(values=rows["variant"].unique().sort().to_list(), title=None)
    base = alt.Chart(rows).encode(
        y=alt.Y("metric:N", sort=order, title=None),
        yOffset="variant:N",
        color=alt.Color("variant:N", scale=variants, legend=shown),
    )
    interval = base.mark_rule(strokeWidth=3, opacity=0.5).encode(
        x=alt.X("absolute_low:Q", title="difference from control, percentage points"), x2="absolute_high:Q"
    )
    point = base.mark_point(filled=True, size=80, opacity=1).encode(x="absolute:Q")
    zero = alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(strokeDash=[4, 4], color="#888888").encode(x="zero:Q")
    return (zero + interval + point).properties(width=560, height=alt.Step(26))


def days_chart(days: pl.DataFrame) -> Any:
    """First events by day and kind, over all variants (from campaign_days)."""
    import altair as alt

    if days.is_empty():
        return _nothing("no events yet")
    kinds = [stage for stage in STAGES if int(days[stage].sum())]
    counts = (
        days.group_by("day")
        .agg(pl.col(kinds).sum())
        .sort("day")
        .unpivot(kinds, index="day", variable_name="event", value_name="contacts")
        .with_columns(pl.col("day").dt.to_string("%Y-%m-%d"))
    )
    return (
        alt.Chart(counts)
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            xOffset=alt.XOffset("event:N", sort=kinds),
            y=alt.Y("contacts:Q", title="contacts", axis=alt.Axis(format=",d")),
            color=alt.Color("event:N", sort=kinds, title=None),
        )
        .properties(width=560, height=200)
    )


def _nothing(why: str) -> Any:
    """A line of text in the place of a chart without data."""
    import altair as alt

    words = alt.Chart(pl.DataFrame({"why": [why]})).mark_text(color="#888888", fontSize=14).encode(text="why:N")
    return words.properties(width=560, height=60)


def svg(chart: Any) -> str:
    """The chart as an SVG element to inline in HTML: it refers to nothing outside itself."""
    import vl_convert

    text = vl_convert.vegalite_to_svg(_specification(chart), vl_version=_version())
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)  # HTML knows the namespaces
    own = digest(text)[:8]  # ids are one space in a page, which may hold several charts
    return re.sub(r'(\bid="|url\(#)', rf"\g<1>{own}-", text)


def png_base64(chart: Any, scale: float = 1.5) -> str:
    """The chart as a PNG on white, in base64: `![alt](data:image/png;base64,...)` in Dagster's markdown."""
    import vl_convert

    specification = _specification(chart)
    specification["config"] = {**specification["config"], "background": "white"}
    return base64.b64encode(vl_convert.vegalite_to_png(specification, vl_version=_version(), scale=scale)).decode()


def _specification(chart: Any) -> dict[str, Any]:
    specification: dict[str, Any] = chart.to_dict()
    return {**specification, "config": _CONFIG}


def _version() -> str:
    """Major and minor of the Vega-Lite that Altair writes for, as vl-convert wants it."""
    import altair

    major, minor, *_ = altair.SCHEMA_VERSION.removeprefix("v").split(".")
    return f"{major}.{minor}"
