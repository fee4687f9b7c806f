"""Tables of a report that stand in the lake for some runs, and are shown where they do."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from campaign_pipeline.analytics.charts import NO_VARIANT
from campaign_pipeline.analytics.report_tables import Table, table, words
from campaign_pipeline.analytics.summary import level
from campaign_pipeline.analytics.verdict import between
from campaign_pipeline.core.written import written


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _time(seconds: float | None) -> str:
    """A span in the unit that one would say it in."""
    if seconds is None:
        return "–"
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


@dataclass(frozen=True)
class Extra:
    """A table of the lake, shown where a run has it: `columns` by name, as (heading, how a value is written)."""

    title: str
    caption: str
    columns: Mapping[str, tuple[str, Callable[[Any], str]]]
    order: str | None = None
    text: tuple[str, ...] = ()


EXTRAS: Mapping[str, Extra] = {
    "response_times": Extra(
        "How soon",
        "Time from acceptance to the first response: half of the contacts were quicker than the median.",
        {
            "response": ("response", str),
            "variant": ("variant", lambda name: name or NO_VARIANT),
            "contacts": ("contacts", written),
            "median": ("median", _time),
            "p90": ("nine of ten within", _time),
        },
        text=("variant",),
    ),
    "link_performance": Extra(
        "Links",
        "Which links people clicked; rates are of the variant's delivered messages.",
        {
            "url": ("link", lambda url: url or "–"),
            "variant": ("variant", lambda name: name or NO_VARIANT),
            "clickers": ("contacts", written),
            "clicks": ("clicks", written),
            "click_rate": ("click rate", _share),
        },
        order="clickers",
        text=("variant",),
    ),
    "deliverability": Extra(
        "Mailbox providers",
        "How the recipients' domains took the messages; delivery and bounce rates are of accepted messages.",
        {
            "recipient_domain": ("domain", lambda domain: domain or "–"),
            "accepted": ("accepted", written),
            "delivery_rate": ("delivered", _share),
            "bounce_rate": ("bounced", _share),
            "complaint_rate": ("complaints", _share),
        },
        order="accepted",
    ),
}
"""By name of the table in the lake, in the order of the report."""

HOLDOUT = "holdout_lift"
TABLES = (HOLDOUT, *EXTRAS)
"""Names of the tables in the lake that a report shows where a run has them."""


def extra_tables(frames: Mapping[str, pl.DataFrame]) -> Iterator[Table]:
    """Those of TABLES that `frames` has, with rows; columns that a frame lacks are left away."""
    lift = frames.get(HOLDOUT)
    if lift is not None and lift.height:
        yield _holdout_table(lift)
    for name, what in EXTRAS.items():
        frame = frames.get(name)
        if frame is None or frame.is_empty():
            continue
        there = [column for column in what.columns if column in frame.columns]
        if what.order:
            frame = frame.sort(what.order, descending=True, maintain_order=True)
        rows = [tuple(what.columns[c][1](row[c]) for c in there) for row in frame.iter_rows(named=True)]
        yield table(what.title, what.caption, [what.columns[c][0] for c in there], rows, what.text)


def _holdout_table(lift: pl.DataFrame) -> Table:
    rows = [
        (
            row["metric"],
            words(row["against"]),
            level(
                kind := row | {"metric_type": "proportion" if row["metric"] == "converted" else "mean"}, "planned_mean"
            ),
            level(kind, "held_out_mean"),
            "–" if row["lift_low"] is None else between(kind, row["lift_low"], row["lift_high"]),
            _in_all(row),
        )
        for row in lift.iter_rows(named=True)
    ]
    caption = (
        "A planned contact beside one held out: the difference is what sending changed, and in all of them together; "
        "both with 95% intervals."
    )
    head = ("metric", "against", "planned", "held out", "difference", "in all")
    return table("What sending brought about", caption, head, rows, ("against",))


def _in_all(row: dict[str, Any]) -> str:
    if row["incremental_low"] is None:
        return "–"
    return f"{row['incremental']:+,.0f} ({row['incremental_low']:+,.0f} to {row['incremental_high']:+,.0f})"
