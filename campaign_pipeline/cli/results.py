"""Results: `results`."""

from typing import Any

import polars as pl
import typer

from campaign_pipeline.analytics.experiments.sample_ratio import SRM_ALPHA
from campaign_pipeline.analytics.summary import percent
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.cli.output import AsJson, console, progress_bar, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.words import COULD_BE_SENT_TO, KEPT_BACK
from campaign_pipeline.events.ingest import pending_bytes
from campaign_pipeline.events.touched import notes
from campaign_pipeline.operations.attribution import note_new_behaviour, runs_with_new_behaviour
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.results import compare, newest_measured, run_account

ALWAYS = ("variant", "planned", "accepted", "delivered")
UNUSUAL = 0.05
"""A sample-ratio p below it is worth a word, and blocks nothing."""

SOMETIMES = ("bounced", "read", "opened", "clicked", "replied", "unsubscribed", "complained")


def results(campaign: str, as_json: AsJson = False) -> None:
    """Show what came of a campaign's newest run: the account, metrics by variant, and the A/B result.

    Example: campaigns results spring-sale
    """
    installation = open_installation()
    take_in_pending(installation, hidden=as_json)
    run = newest_measured(installation, campaign)
    if as_json:
        show_json(
            {
                "run": run.run_id,
                "account": run_account(installation, run.run_id),
                "metrics": installation.lake.read("campaign_metrics", run.run_id),
                "results": compare(installation, run.run_id, None),
            }
        )
    else:
        show_run(installation, run)


def show_run(installation: Installation, run: Run) -> None:
    """The account, the metrics by variant and, where variants are compared, the A/B result of one run."""
    console.print(f"\n[bold]{run.campaign.campaign}[/]  {run.campaign.channel}, {run.state}  [dim]{run.run_id}[/]")
    _show_account(installation, run)
    metrics = installation.lake.read("campaign_metrics", run.run_id)
    happened = [name for name in SOMETIMES if metrics[name].sum()]
    show_table("", metrics.select(*ALWAYS, *happened))
    if installation.lake.exists("holdout_lift", run.run_id):
        _show_lift(installation.lake.read("holdout_lift", run.run_id))
    if metrics.height > 1:
        show_results(compare(installation, run.run_id, None))


def _show_account(installation: Installation, run: Run) -> None:
    """Where everybody in the segment went, as sums that add up."""
    account = run_account(installation, run.run_id)
    summary = installation.lake.read("audience_summary", run.run_id)
    reasons = summary.filter(~pl.col("status").is_in(COULD_BE_SENT_TO))
    why = [
        f"{count:,} {(f'{status} ({reason})' if reason else status).replace('_', ' ')}"
        for status, reason, count in reasons.sort("contacts", descending=True)
        .select("status", "reason", "contacts")
        .iter_rows()
    ]
    globally, reserved = account["held_out_globally"], account["reserved"]
    console.print(
        f"  {account['contacts']:,} in the segment = {account['planned']:,} planned + {account['held_out']:,} held out"
        + (f" + {globally:,} held out globally" if globally else "")
        + (f" + {reserved:,} reserved for later parts" if reserved else "")
        + f" + {account['left_out']:,} left out ({', '.join(why) or 'nobody'})"
    )
    parts = [name for name in account if name not in ("contacts", "planned", *KEPT_BACK, "left_out")]
    sums = " + ".join(f"{account[name]:,} {name.replace('_', ' ')}" for name in parts)
    console.print(f"  {account['planned']:,} planned = {sums}")


def _show_lift(lift: pl.DataFrame) -> None:
    """What sending brought about, per contact and in all, beside what is attributed to it."""
    if lift.is_empty():
        return
    lines: list[dict[str, str | None]] = []
    for row in lift.iter_rows(named=True):

        def figure(value: float | None, sign: str = "", row: dict[str, Any] = row) -> str | None:
            if value is None:
                return None
            return f"{value:{sign}.2%}" if row["metric"] == "converted" else f"{value:{sign}.4f}"

        low, high = figure(row["lift_low"], "+"), figure(row["lift_high"], "+")
        lines.append(
            {
                "per contact": row["metric"],
                "sent to": figure(row["planned_mean"]),
                row["against"].replace("_", " "): figure(row["held_out_mean"]),
                "lift": figure(row["lift"], "+"),
                "95 % interval": f"{low} … {high}" if low and high else None,
                "p": row["error"] or f"{row['p']:.4g}",
                "in all": None if row["incremental"] is None else f"{row['incremental']:+,.0f}",
                "attributed": None if row["attributed"] is None else f"{row['attributed']:,.0f}",
            }
        )
    show_table("", lines)


def show_results(rows: pl.DataFrame, *, as_json: bool = False) -> None:
    """Result rows as a table: a line for each metric and variant beside the control, the deciding one marked *."""
    if as_json:
        show_json(rows)
        return
    shown = [row for row in rows.iter_rows(named=True) if not row["is_control"] and _happened(rows, row)]
    if not shown:
        console.print("No result yet.")
        return
    controls = {row["metric"]: row for row in rows.filter("is_control").iter_rows(named=True)}
    show_table("", [_line(row, controls[row["metric"]]) for row in shown])
    decisions = [f"{row['variant']}: {row['decision']} ({row['decision_reason']})" for row in shown if row["decision"]]
    for decision in decisions:
        console.print(f"  decision  {decision}")
    ratio = shown[0]["srm_p"]
    if ratio is not None:
        figures = f"p = {ratio:.4g}, at every look {shown[0]['srm_seq_p']:.4g}"
        console.print(f"  sample ratio  {figures}: {_ratio_verdict(ratio, shown[0]['srm_seq_p'])}")


def _ratio_verdict(p: float, seq_p: float) -> str:
    if seq_p < SRM_ALPHA:
        return "[bold red]do not trust these figures[/]"
    return "as planned" if p >= UNUSUAL else f"unusual, but at every look not below {SRM_ALPHA}"


def _happened(rows: pl.DataFrame, row: dict[str, Any]) -> bool:
    """Metrics of which nobody has anything say nothing, unless they decide."""
    of_metric = rows.filter(pl.col("metric") == row["metric"])
    return bool(row["is_goal"]) or (of_metric["mean"].fill_null(0) != 0).any()


def _line(row: dict[str, Any], control: dict[str, Any]) -> dict[str, str | None]:
    share = row["metric_type"] == "proportion"

    def figure(value: float | None, sign: str = "") -> str | None:
        if value is None:
            return None
        return f"{value:{sign}.2%}" if share else f"{value:{sign}.4g}"

    low, high = figure(row["absolute_low"], "+"), figure(row["absolute_high"], "+")
    return {
        "metric": f"{row['metric']} *" if row["is_goal"] else row["metric"],
        "control": f"{row['control']} {figure(control['mean']) or '–'}",
        "variant": f"{row['variant']} {figure(row['mean']) or '–'}",
        "difference": figure(row["absolute"], "+"),
        f"{percent(row['confidence'])} interval": f"{low} … {high}" if low and high else None,
        "relative": None if row["relative"] is None else f"{row['relative']:+.1%}",
        "p": row["error"] or (None if row["p"] is None else f"{row['p']:.4g}"),
        "any look": None if row["seq_p"] is None else f"{row['seq_p']:.3g}",
        "best": None if row["prob_best"] is None else _chance(row["prob_best"]),
    }


def _chance(probability: float) -> str:
    """Never quite none and never quite all."""
    if probability < 0.001:
        return "<0.1%"
    return ">99.9%" if probability > 0.999 else f"{probability:.1%}"


def take_in_pending(installation: Installation, *, hidden: bool) -> None:
    """Bring what the inbox received, what was imported, and what a crash left behind, through to the results first."""
    pending = pending_bytes(installation.engine, installation.settings.inbox_dir).pending
    if not pending and not notes(installation.engine) and not runs_with_new_behaviour(installation):
        return
    from campaign_pipeline.defs.launch import dagster_instance, take_in_events

    with progress_bar(hidden=hidden), dagster_instance() as instance:
        note_new_behaviour(installation)
        take_in_events(instance)


def register(app: typer.Typer) -> None:
    app.command()(results)
