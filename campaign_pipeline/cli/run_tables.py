"""The runs of a campaign as tables: shown once, or again and again while one goes on."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from campaign_pipeline.campaigns.life_cycle import UNDER_WAY
from campaign_pipeline.cli.output import console, show_json, show_table, table_of
from campaign_pipeline.core.written import written
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.status import runs_overview

EVERY = 2.0
"""Seconds between two looks."""

PACE = {
    "remaining": "remaining",
    "rate": "messages/s",
    "rate_overall": "messages/s overall",
    "workers": "workers",
    "estimated_end": "estimated end",
    "next_wave_at": "next wave",
}
"""Of rate.Throughput: the columns of a table of its own, and their heads."""

Row = Mapping[str, Any]


def show_runs(campaign: str, rows: Sequence[Row]) -> None:
    """What became of the messages of each run; how fast it goes; and errors by class, if there are any."""
    for title, table in _tables(campaign, rows).items():
        show_table(title, table)


def watch_runs(installation: Installation, campaign: str, *, as_json: bool = False) -> None:
    """Show the runs that are under way every few seconds, until all have ended or failed, or Ctrl-C.

    Where nobody sees a table change, it is a line a run each time, or a JSON document.
    """
    try:
        if as_json:
            _look_again(installation, campaign, show_json)
        elif not sys.stdout.isatty():
            _look_again(installation, campaign, _show_lines)
        else:
            with Live(console=Console(highlight=False), auto_refresh=False) as live:
                _look_again(installation, campaign, lambda rows: live.update(_as_one(campaign, rows), refresh=True))
    except KeyboardInterrupt:
        return


def _look_again(installation: Installation, campaign: str, show: Callable[[Sequence[Row]], None]) -> None:
    rows = runs_overview(installation, campaign)
    under_way = [row for row in rows if row["state"] in UNDER_WAY]
    show(rows := under_way or rows)
    watched = {str(row["run"]) for row in rows}
    while any(row["state"] in UNDER_WAY for row in rows):
        time.sleep(EVERY)
        show(rows := runs_overview(installation, campaign, only=watched))


def _tables(campaign: str, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """title -> rows of a table; without those that would be empty."""
    tables: dict[str, list[Row]] = {
        campaign: [{name: value for name, value in row.items() if name not in (*PACE, "errors")} for row in rows],
        "pace": [{"run": row["run"]} | {PACE[key]: row[key] for key in PACE} for row in rows if "rate" in row],
        "not accepted": [{"run": row["run"]} | error for row in rows for error in row.get("errors", ())],
    }
    return {title: table for title, table in tables.items() if table}


def _as_one(campaign: str, rows: Sequence[Row]) -> RenderableType:
    if not rows:
        return Text("No run yet.")
    parts: list[RenderableType] = []
    for title, table in _tables(campaign, rows).items():
        parts += [Text(title, style="bold"), table_of(table)]
    return Group(*parts)


def _show_lines(rows: Sequence[Row]) -> None:
    for row in rows:
        said = [f"{row['run']} {row['state']}"]
        if "rate" in row:
            said += [f"{written(row.get(name, 0))} {name.replace('_', ' ')}" for name in ("accepted", "in_doubt")]
            said += [f"{written(row['remaining'])} remaining", f"{written(row['rate'])} messages/s"]
            said += [f"{PACE[key]} {written(row[key])}" for key in ("estimated_end", "next_wave_at") if row[key]]
        console.print(escape(", ".join(said)))
    if not rows:
        console.print("No run yet.")
