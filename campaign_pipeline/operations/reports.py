"""Publishing reports: of one run, of some, or of all that ran lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from campaign_pipeline.analytics.models import conform
from campaign_pipeline.analytics.report import BOUNCES, RunReport, write_report
from campaign_pipeline.analytics.report_extras import TABLES
from campaign_pipeline.campaigns.store import Run, load_run, load_runs
from campaign_pipeline.core.database import reading
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.results import compare

MOST_RUNS = 30
"""Runs that one report shows in full: the newest ones, so that the file stays below a few megabytes."""

RECENT = "recent"
"""Name of the report of all runs that ran lately."""


@dataclass(frozen=True)
class Published:
    """A report that was written, and the runs in it, newest first; `others` are named in its index alone."""

    path: Path
    runs: tuple[str, ...]
    others: tuple[str, ...] = ()


def publish_report(installation: Installation, run_ids: Sequence[str], name: str) -> Path:
    """Write reports/<name>.html about these runs, one file that needs nothing else, and return its path."""
    reports = [_run_report(installation, run_id) for run_id in run_ids]
    path = installation.reports_dir / f"{name}.html"
    return write_report(path, reports, title="Campaign report", generated_at=installation.clock())


def publish_recent(installation: Installation, since: datetime) -> Published:
    """Write reports/recent.html about all runs that have metrics and were due at `since` or later."""
    with reading(installation.engine) as connection:
        runs = load_runs(connection)
    lake = installation.lake
    recent = [run for run in runs if run.as_of >= since and lake.exists("audience_summary", run.run_id)]
    shown, others = recent[:MOST_RUNS], recent[MOST_RUNS:]
    path = write_report(
        installation.reports_dir / f"{RECENT}.html",
        [_run_report(installation, run.run_id) for run in shown],
        title=f"Campaigns since {since:%Y-%m-%d}",
        generated_at=installation.clock(),
        others=[_described(run) for run in others],
        nothing=f"No campaign has run since {since:%Y-%m-%d %H:%M} UTC.",
    )
    return Published(path, *(tuple(run.run_id for run in part) for part in (shown, others)))


def _run_report(installation: Installation, run_id: str) -> RunReport:
    lake = installation.lake
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
    return RunReport(
        run=_described(run),
        audience=lake.read("audience_summary", run_id),
        metrics=lake.read("campaign_metrics", run_id),
        days=lake.read("campaign_days", run_id),
        results=compare(installation, run_id, None),
        bounces=_bounces(lake.scan("message_facts", run_id)),
        tables={name: lake.read(name, run_id) for name in TABLES if lake.exists(name, run_id)},
    )


def _described(run: Run) -> dict[str, str]:
    return {
        "campaign": run.campaign.campaign,
        "description": run.campaign.description,
        "run_id": run.run_id,
        "channel": run.campaign.channel.value,
        "segment": run.campaign.segment,
        "as_of": f"{run.as_of:%Y-%m-%d %H:%M} UTC",
        "state": run.state.value,
    }


def _bounces(facts: pl.LazyFrame) -> pl.DataFrame:
    bounced = facts.filter((pl.col("status") == "planned") & pl.col("bounced_at").is_not_null())
    counted = bounced.group_by("bounce_class").agg(contacts=pl.len()).sort("bounce_class").collect()
    return conform(counted, BOUNCES)
