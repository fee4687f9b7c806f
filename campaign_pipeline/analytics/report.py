"""The report of one or more runs: a single HTML file that loads nothing, made for marketers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl

from campaign_pipeline.analytics.charts import days_chart, funnel_chart, lift_chart, svg
from campaign_pipeline.analytics.metrics import PARTS, account
from campaign_pipeline.analytics.summary import difference, error_text, level, p_text, summarise
from campaign_pipeline.core.words import KEPT_BACK, AudienceStatus

LABELS = {
    "left_out": "left out",
    "held_out": "held out",
    "held_out_globally": "held out globally",
    "reserved": "reserved for later parts",
    "suppressed_late": "suppressed after the freeze",
    "in_doubt": "in doubt",
    "in_flight": "in flight",
    "waiting": "waiting",
}

COUNTS = (
    *("planned", *PARTS, "delivered", "bounced", "read", "opened", "clicked", "replied", "unsubscribed", "complained"),
    *("machine_opened", "machine_clicked"),
)
RATES = (
    *("delivery_rate", "bounce_rate", "read_rate", "open_rate", "click_rate", "reply_rate", "unsubscribe_rate"),
    "complaint_rate",
)
ALWAYS = frozenset({"planned", "accepted", "failed", "in_doubt", "delivered", "bounced"})


@dataclass(frozen=True)
class RunReport:
    """What the report says about one run; the frames are those of metrics.py and experiments.py.

    `run` is shown as it is, in order: {"campaign": ..., "run_id": ..., "channel": ..., "state": ..., ...}; it must
    have `campaign` and `run_id`, and nothing personal.
    """

    run: Mapping[str, str]
    audience: pl.DataFrame
    metrics: pl.DataFrame
    days: pl.DataFrame
    results: pl.DataFrame


def write_report(path: Path, runs: Sequence[RunReport], *, title: str, generated_at: datetime) -> Path:
    """Write the report of `runs` to `path`, whole or not at all. Raises Inconsistent if a run does not add up."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("campaign_pipeline.analytics", "templates"), autoescape=True, undefined=StrictUndefined
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    html = environment.get_template("report.html").render(
        title=title,
        generated_at=f"{generated_at:%Y-%m-%d %H:%M} UTC",
        sections=[_section(number, run) for number, run in enumerate(runs, 1)],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        temporary.write_text(html, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _section(number: int, report: RunReport) -> dict[str, Any]:
    sums = account(report.audience, report.metrics)
    results = _shown_results(report.results)
    return {
        "anchor": f"run-{number}",
        "campaign": report.run["campaign"],
        "run": {key.replace("_", " "): value for key, value in report.run.items() if key != "campaign" and value},
        "summary": summarise(report.results) or "No test: this run has one variant, or nobody was planned.",
        "tone": _tone(report.results),
        "contacts": sums["contacts"],
        "audience": _parts(sums, ("planned", *KEPT_BACK, "left_out"), sums["contacts"]),
        "planned": sums["planned"],
        "messages": _parts(sums, PARTS, sums["planned"]),
        "reasons": _reasons(report.audience),
        "metrics": _metrics_table(report.metrics),
        "results": [_result(row) for row in results.iter_rows(named=True)],
        "decisions": _decisions(report.results),
        "sample_ratio": p_text(report.results["srm_p"][0]) if report.results.height else "–",
        "charts": list(_charts(report, results)),
    }


def _tone(results: pl.DataFrame) -> str:
    decisions = set(results["decision"].drop_nulls())
    if "blocked_srm" in decisions:
        return "bad"
    return "good" if "ship" in decisions else "warn" if "rollback" in decisions else "calm"


def _parts(sums: Mapping[str, int], names: Sequence[str], whole: int) -> list[tuple[str, int, str]]:
    """(label, count, share) of each part; a part of none is shown too, because "0 in doubt" is news."""
    return [(LABELS.get(name, name), sums[name], f"{sums[name] / whole:.1%}" if whole else "–") for name in names]


def _reasons(audience: pl.DataFrame) -> list[tuple[str, str, int]]:
    left_out = audience.filter(~pl.col("status").is_in([AudienceStatus.PLANNED, *KEPT_BACK]))
    return [
        (status.replace("_", " "), reason.replace("_", " "), contacts)
        for status, reason, contacts in left_out.select("status", "reason", "contacts").iter_rows()
    ]


def _metrics_table(metrics: pl.DataFrame) -> dict[str, Any]:
    """Variants as columns: few variants, many figures. Figures that are zero everywhere are left away, save some."""
    counts = [name for name in COUNTS if name in ALWAYS or int(metrics[name].sum())]
    rates = [name for name in RATES if metrics[name].drop_nulls().sum()]
    rows = [(name.replace("_", " "), [f"{value:,}" for value in metrics[name]]) for name in counts]
    rows += [(name.replace("_", " "), ["–" if v is None else f"{v:.2%}" for v in metrics[name]]) for name in rates]
    return {"variants": [variant or "(none)" for variant in metrics["variant"]], "rows": rows}


def _shown_results(results: pl.DataFrame) -> pl.DataFrame:
    """Without metrics of which no unit of any variant has anything, the goal excepted."""
    happened = pl.col("mean").fill_null(0).max().over("metric") > 0
    return results.filter(happened | pl.col("is_goal")) if results["variant"].n_unique() > 1 else results.clear()


def _decisions(results: pl.DataFrame) -> str:
    return "; ".join(
        f"{row['variant']}: {row['decision'].replace('_', ' ')}, because {row['decision_reason']} (rule {row['rule']})"
        for row in results.filter(pl.col("decision").is_not_null()).iter_rows(named=True)
    )


def _result(row: dict[str, Any]) -> dict[str, Any]:
    relative = "–"
    if row["relative"] is not None:
        relative = f"{row['relative']:+.1%}"
        if row["relative_low"] is not None:
            relative += f" ({row['relative_low']:+.1%} to {row['relative_high']:+.1%})"
    return {
        "metric": row["metric"] + (" (goal)" if row["is_goal"] else ""),
        "variant": row["variant"],
        "is_control": row["is_control"],
        "units": f"{row['units']:,}",
        "level": level(row),
        "difference": difference(row, interval="").replace(" points", ""),
        "relative": relative,
        "p": p_text(row["p"]).removeprefix("= "),
        "note": error_text(row["error"]) if row["error"] else "few units" if row["small_sample"] else "",
        "decision": (row["decision"] or "").replace("_", " "),
    }


def _charts(report: RunReport, results: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """(caption, text for those who cannot see it, SVG) of each chart that has something to show."""
    if int(report.metrics["planned"].sum()):
        text = "; ".join(
            f"{row['variant']}: {row['accepted']} accepted, {row['delivered']} delivered, {row['opened']} opened, "
            f"{row['clicked']} clicked, {row['bounced']} bounced of {row['planned']} planned"
            for row in report.metrics.iter_rows(named=True)
        )
        yield "How far messages came", f"Bar chart of stages by variant. {text}.", svg(funnel_chart(report.metrics))
    lifts = results.filter(pl.col("absolute_low").is_not_null() & (pl.col("metric_type") == "proportion"))
    if lifts.height:
        text = "; ".join(f"{r['metric']}, {r['variant']}: {difference(r)}" for r in lifts.iter_rows(named=True))
        yield "Difference from control", f"Points with intervals by metric. {text}.", svg(lift_chart(results))
    if report.days.height:
        first, last = report.days["day"].min(), report.days["day"].max()
        yield "Events by day", f"Bar chart of first events by day, {first} to {last}.", svg(days_chart(report.days))
