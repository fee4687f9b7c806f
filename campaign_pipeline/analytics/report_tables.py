"""The tables of a report, as text: what stands in each cell is written here, how it looks in the page's template."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from campaign_pipeline.analytics.charts import NO_VARIANT
from campaign_pipeline.analytics.summary import difference, error_text, level, p_text, percent
from campaign_pipeline.analytics.verdict import PER, amount, chance, loss
from campaign_pipeline.core.words import COULD_BE_SENT_TO
from campaign_pipeline.core.written import written

MOST_ROWS = 25
"""Rows of a table; the rest is told as a number, and is in the warehouse."""

COUNTS = (
    *("planned", "accepted", "failed", "suppressed_late", "in_doubt", "in_flight", "waiting"),
    *("delivered", "bounced", "read", "opened", "clicked", "replied", "unsubscribed", "complained", "converted"),
    *("machine_opened", "machine_clicked", "conversions"),
)
RATES = (
    *("delivery_rate", "bounce_rate", "read_rate", "open_rate", "click_rate", "reply_rate", "unsubscribe_rate"),
    *("complaint_rate", "conversion_rate"),
)
MONEY = ("revenue", "attributed_revenue", "cost")
ALWAYS = frozenset({"planned", "accepted", "failed", "in_doubt", "delivered", "bounced"})

Row = Sequence[str]


@dataclass(frozen=True)
class Table:
    """`head`: names of the columns, of which the first is the row's heading; `text`: those that hold no numbers."""

    title: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Row]
    text: frozenset[str] = field(default_factory=frozenset[str])
    more: int = 0


def table(title: str, caption: str, head: Sequence[str], rows: Sequence[Row], text: Sequence[str] = ()) -> Table:
    """A table of at most MOST_ROWS rows, that says how many more there are."""
    shown = rows[:MOST_ROWS]
    return Table(title, caption, head, shown, frozenset(text), len(rows) - len(shown))


def words(name: str) -> str:
    return name.replace("_", " ")


# ---- the run ------------------------------------------------------------------------------------------------------


def left_out_table(audience: pl.DataFrame) -> Table:
    """Who of the segment gets no message, by status and reason (audience_summary)."""
    out = audience.filter(~pl.col("status").is_in(COULD_BE_SENT_TO))
    total = int(audience["contacts"].sum())
    rows = [
        (words(row["status"]), words(row["reason"] or "–"), f"{row['contacts']:,}", f"{row['contacts'] / total:.1%}")
        for row in out.sort("contacts", descending=True, maintain_order=True).iter_rows(named=True)
    ]
    caption = "Why contacts of the segment get no message; shares are of the segment."
    return table("Left out", caption, ("status", "reason", "contacts", "share"), rows, ("reason",))


def figures_table(metrics: pl.DataFrame) -> Table:
    """Variants as columns: few variants, many figures. Figures that are zero everywhere are left away, save some."""
    arms = _arms(metrics)
    rows = [(words(name), *(written(value) for value in metrics[name])) for name in COUNTS if _shown(metrics, name)]
    rows += [(words(name), *(_rate(row, name) for row in metrics.rows(named=True))) for name in _there(metrics, RATES)]
    money = [name for name in MONEY if _shown(metrics, name)]
    rows += [(words(name), *("–" if v is None else f"{v:,.2f}" for v in metrics[name])) for name in money]
    caption = (
        "Contacts by variant, with 95% intervals of rates where they are known. Delivery and bounce rates are of "
        "accepted messages, conversion rates of planned contacts, the others of delivered messages."
    )
    return Table("Figures", caption, ("figure", *arms), rows)


def _arms(metrics: pl.DataFrame) -> list[str]:
    """Names of the rows of campaign_metrics: the variant, and the channel where the run used several."""
    several = metrics["channel"].n_unique() > 1
    return [
        f"{row['variant'] or NO_VARIANT}, {row['channel']}" if several else row["variant"] or NO_VARIANT
        for row in metrics.iter_rows(named=True)
    ]


def _shown(metrics: pl.DataFrame, name: str) -> bool:
    return name in ALWAYS or (name in metrics.columns and bool(metrics[name].sum()))


def _there(metrics: pl.DataFrame, names: Sequence[str]) -> Iterator[str]:
    return (name for name in names if name in metrics.columns and metrics[name].drop_nulls().sum())


def _rate(row: Mapping[str, Any], name: str) -> str:
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    if row[name] is None:
        return "–"
    return f"{row[name]:.2%}" + ("" if low is None or high is None else f" ({low:.2%} to {high:.2%})")


def bounces_table(bounces: pl.DataFrame, accepted: int) -> Table:
    """`bounces`: bounce_class, contacts."""
    rows = [
        (
            row["bounce_class"] or "not told",
            f"{row['contacts']:,}",
            f"{row['contacts'] / accepted:.2%}" if accepted else "–",
        )
        for row in bounces.sort("contacts", "bounce_class", descending=[True, False]).iter_rows(named=True)
    ]
    caption = "Bounced messages by the class of their first bounce; shares are of accepted messages."
    return table("Bounces", caption, ("class", "contacts", "share"), rows)


def machines_table(metrics: pl.DataFrame) -> Table:
    """People's opens and clicks beside those of machines."""
    rows = [
        (name, *(written(_total(metrics, column)) for column in (people, events, machines, machine_events)))
        for name, people, events, machines, machine_events in (
            ("opens", "opened", "opens", "machine_opened", "machine_opens"),
            ("clicks", "clicked", "clicks", "machine_clicked", "machine_clicks"),
        )
        if _total(metrics, people) or _total(metrics, machines)
    ]
    head = ("event", "contacts, people", "events, people", "contacts, machines", "events, machines")
    caption = "Machines are privacy proxies and scanners; rates and tests are of people alone."
    return Table("People and machines", caption, head, rows)


def _total(metrics: pl.DataFrame, name: str) -> int | None:
    return int(metrics[name].sum()) if name in metrics.columns else None


# ---- the test -----------------------------------------------------------------------------------------------------


def results_table(results: pl.DataFrame) -> Table:
    """Levels, differences and decisions of ab_results, as they are for one look."""
    rows = [_result(row) for row in results.iter_rows(named=True)]
    head = ("metric", "variant", "contacts", "level", "difference", "relative", "p", "decision")
    sure = percent(results["confidence"][0]) if results.height else "95%"
    caption = (
        f"By assignment: of all planned contacts, sent or not. Differences of rates are in percentage points; {sure} "
        f"intervals for one look. Sample ratio p {p_text(results['srm_p'][0]) if results.height else '–'}."
    )
    return Table("Test", caption, head, rows, frozenset({"variant", "decision"}))


def _result(row: dict[str, Any]) -> Row:
    relative = "–"
    if row["relative"] is not None:
        relative = f"{row['relative']:+.1%}"
        if row["relative_low"] is not None:
            relative += f" ({row['relative_low']:+.1%} to {row['relative_high']:+.1%})"
    note = error_text(row["error"]) if row["error"] else "few units" if row["small_sample"] else ""
    return (
        row["metric"] + (" (goal)" if row["is_goal"] else ""),
        row["variant"] + (" (control)" if row["is_control"] else ""),
        f"{row['units']:,}",
        level(row),
        difference(row, interval="").replace(" points", ""),
        relative,
        p_text(row["p"]).removeprefix("= "),
        words(row["decision"] or "") or note,
    )


def any_time_table(results: pl.DataFrame) -> Table | None:
    """The sequential and the Bayesian figures of the same rows; None where there are none."""
    rows = results.filter(pl.col("seq_low").is_not_null() | pl.col("prob_best").is_not_null())
    if rows.is_empty():
        return None
    shown = [
        (
            row["metric"] + (" (goal)" if row["is_goal"] else ""),
            row["variant"] + (" (control)" if row["is_control"] else ""),
            _any_time(row),
            p_text(row["seq_p"]).removeprefix("= "),
            chance(row["prob_beat_control"]),
            chance(row["prob_best"]),
            loss(row),
        )
        for row in rows.iter_rows(named=True)
    ]
    caption = (
        "Intervals (of rates in percentage points) and p that hold however often one looks; the probability to beat "
        f"the control, and to be the best; what choosing the variant gives up on average, for {PER:,} contacts."
    )
    head = ("metric", "variant", "interval, any time", "p, any time", "beats control", "is best", "expected loss")
    return Table("Test at any time, and by probability", caption, head, shown, frozenset({"variant"}))


def _any_time(row: dict[str, Any]) -> str:
    if row["seq_low"] is None:
        return "–"
    scale, digits = (100, 2) if row["metric_type"] == "proportion" else (1, 3)
    return f"{row['seq_low'] * scale:+,.{digits}f} to {row['seq_high'] * scale:+,.{digits}f}"


def guardrails_table(results: pl.DataFrame) -> Table:
    rows = [
        (row["metric"], row["variant"], difference(row), amount(row, "guardrail_margin", sign=""), row["guardrail"])
        for row in results.filter(pl.col("guardrail").is_not_null()).iter_rows(named=True)
    ]
    caption = "What a better goal must not be paid with, and the harm that would be borne."
    head = ("metric", "variant", "difference", "margin", "state")
    return table("Guardrails", caption, head, rows, ("variant", "state"))
