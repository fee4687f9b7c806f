"""Reports and exports: `report` and `export`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from campaign_pipeline.analytics.exports import Format
from campaign_pipeline.campaigns.definition import Duration
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.results import take_in_pending
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.operations.exports import export as export_file
from campaign_pipeline.operations.exports import exportable
from campaign_pipeline.operations.reports import publish_recent, publish_report
from campaign_pipeline.operations.results import newest_measured

Campaign = Annotated[str | None, typer.Argument(help="The campaign, of which the newest run is told.")]
Since = Annotated[str | None, typer.Option(help="Instead of one campaign, all runs of so long: 7d, 24h, 2w.")]
Target = Annotated[str | None, typer.Argument(help="A run, or a campaign: all its runs. Without, the whole table.")]
OfTable = Annotated[str | None, typer.Option("--table", help="The table; without, the tables are listed.")]
InFormat = Annotated[Format | None, typer.Option("--format", help="Default: as the name of the file says, or csv.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="The file; default: TABLE.FORMAT here.")]


def report(campaign: Campaign = None, since: Since = None, as_json: AsJson = False) -> None:
    """Write a report, one HTML file that needs nothing else: of a campaign's newest run, or of all runs since 7d.

    Example: campaigns report spring-sale
    """
    if (campaign is None) == (since is None):
        raise InvalidInput(
            "a report is of one campaign, or of the runs since a time", "Give a campaign, or --since 7d."
        )
    installation = open_installation()
    start = None if since is None else _start(since, installation.clock())
    take_in_pending(installation, hidden=as_json)
    if start is not None:
        published = publish_recent(installation, start)
        path, runs = published.path.resolve(), [*published.runs]
    else:
        runs = [newest_measured(installation, str(campaign)).run_id]
        path = publish_report(installation, runs, runs[0]).resolve()
    if as_json:
        show_json({"report": path, "runs": runs})
    else:
        console.print(f"Report: {path}", markup=False)


def _start(since: str, now: datetime) -> datetime:
    try:
        return now - TypeAdapter[Duration](Duration).validate_python(since)
    except ValidationError:
        raise InvalidInput(
            f"--since {since!r} is not a length of time up to a year", "Write it as 24h, 7d or 2w."
        ) from None


def export(
    target: Target = None,
    table: OfTable = None,
    file_format: InFormat = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Write a table of the warehouse as CSV or Parquet, of a run, a campaign or all; without a table, list them.

    Nothing personal is in these tables. In CSV, text that a spreadsheet would take for a formula has an apostrophe
    before it.

    Example: campaigns export spring-sale --table campaign_metrics --format csv --output metrics.csv
    """
    installation = open_installation()
    if table is None:
        if target is not None or output is not None:
            raise InvalidInput("no table is given", "Name it with --table; see them with: campaigns export")
        tables = exportable(installation)
        if as_json:
            show_json(tables)
        else:
            show_table("Tables", tables)
        return
    kind = file_format or _format_of(output)
    path = output or Path(f"{table}.{kind}")
    rows = export_file(installation, table, path, kind, target)
    if as_json:
        show_json({"table": table, "file": path, "format": kind, "rows": rows})
    else:
        console.print(f"{rows:,} rows of {table} in {path}.", markup=False)


def _format_of(output: Path | None) -> Format:
    return Format.PARQUET if output is not None and output.suffix == ".parquet" else Format.CSV


def register(app: typer.Typer) -> None:
    for command in (report, export):
        app.command()(command)
