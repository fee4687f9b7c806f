"""Segments: `segments preview`."""

import typer

from campaign_pipeline.cli import memberships
from campaign_pipeline.cli.arguments import AsOf, moment
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.operations.segments import line_by_line, preview_segment

segments = typer.Typer(help="Rules that pick contacts.", no_args_is_help=True)
memberships.register(segments)


@segments.command()
def preview(name: str, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Count who is in a segment, and what each line of it matches and leaves.

    Example: campaigns segments preview recent_buyers --as-of 2026-03-02
    """
    installation = open_installation()
    at = moment(as_of, installation.clock())
    shown = preview_segment(installation, name, at)
    lines = line_by_line(shown)
    if as_json:
        data = {"segment": name, "as_of": at, "count": shown.count, "total": shown.total, "lines": lines}
        show_json(data | {"sample": shown.sample})
        return
    console.print(
        f"[bold]{shown.count:,}[/] of {shown.total:,} contacts are in [bold]{name}[/] as of {at:%Y-%m-%d %H:%M} UTC."
    )
    show_table("line by line", lines)
    console.print(f"For example: {', '.join(shown.sample[:5]) or 'nobody'}")
