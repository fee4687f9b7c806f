"""Segments: `segments preview`, `segments explain`, `segments diff`, `segments schema`."""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.tree import Tree

from campaign_pipeline.cli import memberships
from campaign_pipeline.cli.arguments import AsOf, moment
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.written import written
from campaign_pipeline.operations.segments import line_by_line, read_drafts, segment_questions
from campaign_pipeline.segments.explain import ExplainedLine, Explanation
from campaign_pipeline.segments.preview import ANY_CHANNEL, Preview
from campaign_pipeline.segments.schema import schema_text

segments = typer.Typer(help="Rules that pick contacts.", no_args_is_help=True)
memberships.register(segments)

Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh/--last-snapshot",
        help="Look at contacts as they are now, or as last snapshotted (faster if there are millions).",
    ),
]
Name = Annotated[str, typer.Argument(help="A segment.")]


@segments.command()
def preview(
    name: Annotated[str | None, typer.Argument(help="A segment that was applied; not with --file.")] = None,
    file: Annotated[Path | None, typer.Option(help="A segment file instead, which need not be applied.")] = None,
    as_of: AsOf = None,
    fresh: Fresh = True,
    as_json: AsJson = False,
) -> None:
    """Count who is in a segment, and what each line of it matches and leaves.

    Example: campaigns segments preview recent_buyers --as-of 2026-03-02
    """
    if (name is None) == (file is None):
        raise InvalidInput("what to preview is not clear", "Give the name of a segment, or --file FILE, not both.")
    drafts = read_drafts(file) if file else {}
    if file and len(drafts) != 1:
        raise InvalidInput(f"{file} has {len(drafts)} segments", "Give one segment file.")
    installation = open_installation()
    at = moment(as_of, installation.clock())
    with segment_questions(installation, at, about=[name] if name else [], fresh=fresh) as questions:
        if name is not None:
            shown = questions.preview(name)
        else:
            ((name, draft),) = drafts.items()
            shown = questions.preview_draft(draft)
    _show_preview(name, shown, at, as_json=as_json)


def _show_preview(name: str, shown: Preview, at: datetime, *, as_json: bool) -> None:
    lines = line_by_line(shown)
    if as_json:
        data = {"segment": name, "as_of": at, "count": shown.count, "total": shown.total, "lines": lines}
        show_json(data | {"sample": shown.sample, "reachable": shown.reachable})
        return
    console.print(
        f"[bold]{shown.count:,}[/] of {shown.total:,} contacts are in [bold]{name}[/] as of {at:%Y-%m-%d %H:%M} UTC."
    )
    show_table("line by line", lines)
    if shown.reachable:
        words = [f"{count:,} by {channel}" for channel, count in shown.reachable.items() if channel != ANY_CHANNEL]
        console.print(f"Reachable for marketing: {', '.join(words)}; {shown.reachable[ANY_CHANNEL]:,} by any of them.")
    console.print(f"For example: {', '.join(shown.sample[:5]) or 'nobody'}")


@segments.command()
def explain(
    name: Name,
    contact: Annotated[str, typer.Argument(help="A contact id, or an external id.")],
    as_of: AsOf = None,
    fresh: Fresh = True,
    as_json: AsJson = False,
) -> None:
    """Say why a contact is in a segment or not: each line, true or false, and the values that decided it.

    Example: campaigns segments explain recent_buyers 4711 --as-of 2026-03-02
    """
    installation = open_installation()
    at = moment(as_of, installation.clock())
    with segment_questions(installation, at, about=[name], fresh=fresh) as questions:
        explained = questions.explain(name, contact)
    if as_json:
        show_json(asdict(explained) | {"as_of": at})
        return
    verdict = "is" if explained.is_member else "is not"
    console.print(
        f"Contact {explained.contact_id} [bold]{verdict}[/] in [bold]{name}[/] as of {at:%Y-%m-%d %H:%M} UTC."
    )
    console.print(_tree(explained))


def _tree(explained: Explanation) -> Tree:
    root, *others = explained.lines
    branches = [Tree(_line(root))]
    for line in others:
        del branches[line.depth :]
        branches.append(branches[-1].add(_line(line)))
    return branches[0]


def _line(line: ExplainedLine) -> str:
    mark = "[green]yes[/]" if line.matches else "[red]no[/]"
    values = ", ".join(f"{label}: {written(value)}" for label, value in line.evidence.items())
    return f"{mark}  {escape(line.text)}" + (f"  [dim]({escape(values)})[/]" if values else "")


@segments.command()
def diff(
    name: Name,
    file: Annotated[Path, typer.Option(help="A segment file, or a folder of definitions, with what may be applied.")],
    as_of: AsOf = None,
    fresh: Fresh = True,
    as_json: AsJson = False,
) -> None:
    """Say who would enter and leave a segment if the definitions of a file or folder were applied.

    Example: campaigns segments diff recent_buyers --file data/definitions
    """
    drafts = read_drafts(file)
    if file.is_file() and name not in drafts:
        raise InvalidInput(
            f"{file} holds segment {next(iter(drafts))!r}, not {name!r}", "Give the file of that segment."
        )
    installation = open_installation()
    at = moment(as_of, installation.clock())
    about = [] if name in drafts else [name]
    with segment_questions(installation, at, about=about, fresh=fresh) as questions:
        found = questions.diff(name, drafts)
    if as_json:
        show_json(asdict(found) | {"as_of": at})
        return
    console.print(
        f"[bold]{name}[/] as of {at:%Y-%m-%d %H:%M} UTC: {found.before:,} contacts now, {found.after:,} then;"
        f" [green]{found.entering:,} enter[/], [red]{found.leaving:,} leave[/]."
    )
    colours = {"+": "green", "-": "red", " ": "default"}
    for line in found.lines:
        console.print(f"[{colours[line.change]}]{line.change} {' · ' * line.depth}{escape(line.text)}[/]")
    for word, sample in (("entering", found.entering_sample), ("leaving", found.leaving_sample)):
        if sample:
            console.print(f"For example {word}: {', '.join(sample[:5])}")


@segments.command()
def schema(
    file: Annotated[Path | None, typer.Argument(help="Write it to this file; absent: print it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give the JSON Schema of segment files, by which editors complete and check them.

    Example: campaigns segments schema segment.schema.json
    """
    if file is None:
        typer.echo(schema_text(), nl=False)
        return
    try:
        file.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"{file} cannot be written: {error.strerror}", "Give a file in a folder that exists."
        ) from None
    if as_json:
        show_json({"file": str(file)})
    else:
        console.print(f"Written to {escape(str(file))}.")
