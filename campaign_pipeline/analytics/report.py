"""The report of one or more runs: a single HTML file that loads nothing, made for marketers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl

from campaign_pipeline.analytics.charts import MOST_DAYS, days_chart, funnel_chart, funnel_rows, svg
from campaign_pipeline.analytics.experiment_charts import (
    chance_chart,
    chance_rows,
    lift_chart,
    lift_rows,
    rate_kinds,
    rate_rows,
    rates_chart,
)
from campaign_pipeline.analytics.experiments.decisions import Decision
from campaign_pipeline.analytics.metrics import PARTS, account
from campaign_pipeline.analytics.report_extras import extra_tables
from campaign_pipeline.analytics.report_tables import (
    Table,
    any_time_table,
    bounces_table,
    figures_table,
    guardrails_table,
    left_out_table,
    machines_table,
    results_table,
    words,
)
from campaign_pipeline.analytics.summary import difference
from campaign_pipeline.analytics.verdict import chance, verdict
from campaign_pipeline.core.words import HELD_OUT

LABELS = {
    "left_out": "left out",
    "held_out": "held out",
    "held_out_globally": "held out of all campaigns",
    "reserved": "reserved for later parts",
    "suppressed_late": "suppressed after the freeze",
    "in_doubt": "in doubt",
    "in_flight": "in flight",
    "waiting": "waiting",
}
BOUNCES: dict[str, Any] = {"bounce_class": pl.String, "contacts": pl.Int64}


@dataclass(frozen=True)
class RunReport:
    """What the report says about one run; the frames are those of metrics.py and experiments/runs.py.

    `run` is shown as it is, in order: {"campaign": ..., "run_id": ..., "channel": ..., "state": ..., ...}; it must
    have `campaign` and `run_id`, and nothing personal. `bounces`: bounce_class, contacts. `tables`: those of
    report_extras.TABLES that the run has, by name.
    """

    run: Mapping[str, str]
    audience: pl.DataFrame
    metrics: pl.DataFrame
    days: pl.DataFrame
    results: pl.DataFrame
    bounces: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=BOUNCES))
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict[str, pl.DataFrame])


@dataclass(frozen=True)
class Chart:
    """`text`: what it shows, for those who cannot see it; `drawing`: an Altair chart."""

    caption: str
    text: str
    drawing: Any


def write_report(
    path: Path,
    runs: Sequence[RunReport],
    *,
    title: str,
    generated_at: datetime,
    others: Sequence[Mapping[str, str]] = (),
    nothing: str = "",
) -> Path:
    """Write the report of `runs` to `path`, whole or not at all. Raises Inconsistent if a run does not add up.

    `others`: runs that are named in the index alone, as RunReport.run. `nothing`: said when there are no runs.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("campaign_pipeline.analytics", "templates"), autoescape=True, undefined=StrictUndefined
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    html = environment.get_template("report.html").render(
        title=title,
        generated_at=f"{generated_at:%Y-%m-%d %H:%M} UTC",
        sections=[_section(number, run) for number, run in enumerate(runs, 1)],
        others=others,
        nothing=nothing,
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
    waiting = ["reserved"] if sums["reserved"] else []
    results = _shown_results(report.results)
    return {
        "anchor": f"run-{number}",
        "campaign": report.run["campaign"],
        "run_id": report.run["run_id"],
        "run": {words(key): value for key, value in report.run.items() if key != "campaign" and value},
        "verdict": verdict(report.results, sums, report.metrics),
        "contacts": sums["contacts"],
        "audience": _parts(sums, ("planned", *HELD_OUT, *waiting, "left_out"), sums["contacts"]),
        "planned": sums["planned"],
        "delivered": int(report.metrics["delivered"].sum()),
        "messages": _parts(sums, PARTS, sums["planned"]),
        "test": [table for table in _test_tables(results) if table],
        "decisions": _decisions(report.results),
        "tables": [table for table in _run_tables(report, sums["accepted"]) if table.rows],
        "charts": [(chart.caption, chart.text, svg(chart.drawing)) for chart in charts(report)],
    }


def _parts(sums: Mapping[str, int], names: Sequence[str], whole: int) -> list[tuple[str, int, str]]:
    """(label, count, share) of each part; a part of none is shown too, because "0 in doubt" is news."""
    return [(LABELS.get(name, name), sums[name], f"{sums[name] / whole:.1%}" if whole else "–") for name in names]


def _test_tables(results: pl.DataFrame) -> Iterator[Table | None]:
    if results.height:
        yield results_table(results)
        yield None if _blocked(results) else any_time_table(results)
        if results["guardrail"].drop_nulls().len():
            yield guardrails_table(results)


def _run_tables(report: RunReport, accepted: int) -> Iterator[Table]:
    yield left_out_table(report.audience)
    yield figures_table(report.metrics)
    yield bounces_table(report.bounces, accepted)
    yield machines_table(report.metrics)
    yield from extra_tables(report.tables)


def _blocked(results: pl.DataFrame) -> bool:
    return Decision.BLOCKED_SRM in results["decision"].to_list()


def _shown_results(results: pl.DataFrame) -> pl.DataFrame:
    """Without metrics of which no unit of any variant has anything, the goal excepted."""
    happened = pl.col("mean").fill_null(0).max().over("metric") > 0
    return results.filter(happened | pl.col("is_goal")) if results["variant"].n_unique() > 1 else results.clear()


def _decisions(results: pl.DataFrame) -> str:
    return "; ".join(
        f"{row['variant']}: {words(row['decision'])}, because {row['decision_reason']} (rule {row['rule']})"
        for row in results.filter(pl.col("decision").is_not_null()).iter_rows(named=True)
    )


def charts(report: RunReport) -> Iterator[Chart]:
    """The charts of a run that have something to show, in the order of the page."""
    results = _shown_results(report.results)
    goal = next(iter(results.filter("is_goal")["metric"]), None)
    if _blocked(results):
        results = results.clear()  # a picture of figures that cannot be trusted is remembered
    for proportions, caption in ((True, "Difference from control"), (False, "Difference from control, a contact")):
        if lift_rows(results, proportions=proportions).height:
            kind = pl.col("metric_type") == "proportion"
            shown = results.filter((kind if proportions else ~kind) & pl.col("absolute_low").is_not_null())
            text = "; ".join(f"{r['metric']}, {r['variant']}: {difference(r)}" for r in shown.iter_rows(named=True))
            drawing = lift_chart(results, proportions=proportions)
            yield Chart(caption, f"Points with intervals by metric. {text}.", drawing)
    if chance_rows(results).height:
        text = "; ".join(f"{variant}: {chance(p)}" for variant, p in chance_rows(results).iter_rows())
        yield Chart(f"Which is the best by {goal}", f"Bar chart of probabilities. {text}.", chance_chart(results))
    if funnel_rows(report.metrics).height:
        text = f"Bar chart of stages by variant. {_funnel_text(report.metrics)}."
        yield Chart("How far messages came", text, funnel_chart(report.metrics))
    if kinds := rate_kinds(report.days, goal):
        yield _rates(report, kinds, goal)
    if report.days.height:
        first, last = report.days["day"].unique().sort().tail(MOST_DAYS).min(), report.days["day"].max()
        text = f"Bar chart of first events by day, {first} to {last}."
        yield Chart("Events by day", text, days_chart(report.days))


def _funnel_text(metrics: pl.DataFrame) -> str:
    return "; ".join(
        f"{row['variant']}: {row['accepted']} accepted, {row['delivered']} delivered, {row['opened']} opened, "
        f"{row['clicked']} clicked, {row['bounced']} bounced of {row['planned']} planned"
        for row in metrics.iter_rows(named=True)
    )


def _rates(report: RunReport, kinds: Sequence[str], goal: str | None) -> Chart:
    rows = rate_rows(report.metrics, report.days, kinds)
    newest = rows.filter(pl.col("day") == pl.col("day").max())
    text = "; ".join(f"{r['event']}, {r['variant']}: {r['rate']:.2%}" for r in newest.iter_rows(named=True))
    caption = "Rates so far, by the end of each day, of planned contacts"
    drawing = rates_chart(report.metrics, report.days, goal)
    return Chart(caption, f"Lines by variant. On {newest['day'][0]}: {text}.", drawing)
