"""Charts of a run, as Altair specifications; drawn to SVG for reports and to PNG for Dagster, without a browser.

Text and axes take `currentColor`, so that an inlined SVG follows its page from light to dark.
"""

import base64
import re
from collections.abc import Sequence
from typing import Any

import polars as pl

from campaign_pipeline.core.ids import digest

COLOURS = ("#3b82f6", "#d97706", "#059669", "#db2777", "#8b5cf6", "#64748b", "#0891b2", "#a16207", "#dc2626", "#5b8c0a")
"""Told apart with the common colour deficiencies; contrast of 3 with the light and the dark page (WCAG 1.4.11)."""

FUNNEL = ("planned", "accepted", "delivered", "read", "opened", "clicked", "replied", "converted")
ALWAYS = ("planned", "accepted", "delivered")
EVENTS = (*FUNNEL[1:], "bounced", "unsubscribed", "complained")
MOST_DAYS = 60
"""Days of a chart by day: the newest ones."""

WIDTH = 560
NO_VARIANT = "(none)"

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
    "legend": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "labelFontSize": 12,
        "titleFontWeight": "normal",
        "orient": "top",
        "columnPadding": 16,
        "layout": {"top": {"anchor": "start", "direction": "horizontal", "margin": 28}},
    },
    "range": {"category": list(COLOURS)},
}


def funnel_rows(metrics: pl.DataFrame) -> pl.DataFrame:
    """What funnel_chart draws: variant, planned, stage, contacts, share; stages that nobody came to are left away."""
    stages = [name for name in FUNNEL if name in ALWAYS or (name in metrics.columns and int(metrics[name].sum()))]
    arms = by_arm(metrics, stages).filter(pl.col("planned") > 0)
    counts = arms.select("variant", pl.col("planned").alias("of"), *stages)
    return (
        counts.unpivot(stages, index=["variant", "of"], variable_name="stage", value_name="contacts")
        .with_columns(share=pl.col("contacts") / pl.col("of"))
        .rename({"of": "planned"})
    )


def funnel_chart(metrics: pl.DataFrame) -> Any:
    """Share of the planned contacts that came to each stage, by variant (from campaign_metrics)."""
    import altair as alt

    shares = funnel_rows(metrics)
    if shares.is_empty():
        return nothing("nobody was planned")
    arms = shares["variant"].unique().sort().to_list()
    base = alt.Chart(shares).encode(
        x=alt.X("share:Q", title="share of planned contacts", axis=alt.Axis(format="%")),
        y=alt.Y("stage:N", sort=shares["stage"].unique(maintain_order=True).to_list(), title=None),
        yOffset="variant:N",
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(color=colour(arms))
    return (bars + labels(base, alt.Text("contacts:Q", format=",d"))).properties(
        width=WIDTH, height=alt.Step(16 if len(arms) > 1 else 22)
    )


def day_rows(days: pl.DataFrame) -> pl.DataFrame:
    """What days_chart draws: day, event, contacts; the newest MOST_DAYS days, over all variants."""
    kinds = [kind for kind in EVENTS if kind in days.columns and int(days[kind].sum())]
    counts = days.group_by("day").agg(pl.col(kinds).sum()).sort("day").tail(MOST_DAYS)
    return counts.unpivot(kinds, index="day", variable_name="event", value_name="contacts")


def days_chart(days: pl.DataFrame) -> Any:
    """First events by day and kind, over all variants (from campaign_days)."""
    import altair as alt

    if days.is_empty():
        return nothing("no events yet")
    counts = day_rows(days).with_columns(pl.col("day").dt.to_string("%Y-%m-%d"))
    kinds = counts["event"].unique(maintain_order=True).to_list()
    return (
        alt.Chart(counts)
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            xOffset=alt.XOffset("event:N", sort=kinds),
            y=alt.Y("contacts:Q", title="contacts", axis=alt.Axis(format=",d")),
            color=alt.Color("event:N", sort=kinds, title=None, legend=alt.Legend(columns=5)),
        )
        .properties(width=WIDTH, height=200)
    )


def labels(base: Any, text: Any) -> Any:
    """What the bars of `base` are worth, written at their ends."""
    return base.mark_text(align="left", dx=4, fontSize=11, color="currentColor").encode(text=text)


def by_arm(metrics: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Sums of `columns` by variant: a variant has a row for each channel that it went out by."""
    return metrics.group_by(named_arms()).agg(pl.col(columns).sum()).sort("variant")


def named_arms() -> pl.Expr:
    return pl.col("variant").fill_null(NO_VARIANT)


def colour(arms: Sequence[str], shown: Sequence[str] | None = None) -> Any:
    """The colour of each variant, the same in all charts of a run; `shown`: those in the legend, none: no legend."""
    import altair as alt

    scale = alt.Scale(domain=list(arms))
    legend = None if shown is not None and not shown else alt.Legend(values=list(arms if shown is None else shown))
    return alt.Color("variant:N", title=None, scale=scale, legend=legend)


def nothing(why: str) -> Any:
    """A line of text in the place of a chart without data."""
    import altair as alt

    words = alt.Chart(pl.DataFrame({"why": [why]})).mark_text(color="#888888", fontSize=14).encode(text="why:N")
    return words.properties(width=WIDTH, height=60)


def svg(chart: Any) -> str:
    """The chart as an SVG element to inline in HTML: it refers to nothing outside itself."""
    import vl_convert

    text = vl_convert.vegalite_to_svg(_specification(chart), vl_version=_version())
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)  # HTML knows the namespaces
    own = digest(text)[:8]  # ids are one space in a page, which may hold several charts
    return re.sub(r'(\bid="|url\(#)', rf"\g<1>{own}-", text)


def png_base64(chart: Any, scale: float = 1.0) -> str:
    """The chart as a PNG on white, in base64: `![alt](data:image/png;base64,...)` in Dagster's markdown.

    Dagster keeps every one of them for good: a larger scale makes them larger by its square.
    """
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
