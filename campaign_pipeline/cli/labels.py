"""Lists and tags: `lists show|add|remove`, and the same for `tags`."""

from pathlib import Path
from typing import Annotated

import polars as pl
import sqlalchemy as sa
import typer

from campaign_pipeline.cli.arguments import AsOf, moment, operator
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.contacts.identify import identify, names_in_file
from campaign_pipeline.contacts.lists import LISTS, TAGS, Labels, add, counts, members, remove
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.segments import segment_questions
from campaign_pipeline.segments.evaluate import members as members_of

SHOWN = 20
"""Members that a table shows; --json shows all."""

Name = Annotated[str, typer.Argument(help="Its name; the first use makes it.")]
Contacts = Annotated[list[str] | None, typer.Argument(help="Contact ids, or ids of your own system.")]
File = Annotated[Path | None, typer.Option(help="CSV file with a header line, one contact a row.")]
Column = Annotated[str | None, typer.Option(help="Column with the ids; default: contact_id, external_id or the first.")]
OfSegment = Annotated[str | None, typer.Option("--segment", help="Everybody who is in this segment.")]


def commands(labels: Labels, what: str) -> typer.Typer:
    """`show`, `add` and `remove` for lists or tags."""
    group = typer.Typer(help=what, no_args_is_help=True)
    plural = f"{labels.word}s"

    def show(
        name: Annotated[str | None, typer.Argument(help="Show who is on it, instead of all names.")] = None,
        as_json: AsJson = False,
    ) -> None:
        installation = open_installation()
        with reading(installation.engine) as connection:
            found = counts(connection, labels) if name is None else members(connection, labels, name)
        if as_json:
            show_json(found if name is None else {labels.word: name, "contacts": found.height, "members": found})
        elif name is None:
            show_table(plural, found)
        else:
            show_table(f"{name}: {found.height:,} contacts", found.head(SHOWN))

    def put(
        name: Name,
        contacts: Contacts = None,
        file: File = None,
        column: Column = None,
        segment: OfSegment = None,
        as_of: AsOf = None,
        as_json: AsJson = False,
    ) -> None:
        installation = open_installation()
        named = _named(installation, contacts, file, column, segment, as_of)
        with writing(installation.engine) as connection:
            ids, unknown = identify(connection, named)
            source = f"segment {segment}" if segment else operator()
            added = add(connection, labels, name, ids, source=source, at=installation.clock())
            total = _total(connection, labels, name)
        _tell(labels, name, {"added": added, "were_on_it": len(ids) - added}, unknown, total, as_json=as_json)

    def take_off(
        name: Annotated[str, typer.Argument(help="Its name.")],
        contacts: Contacts = None,
        file: File = None,
        column: Column = None,
        segment: OfSegment = None,
        as_of: AsOf = None,
        everybody: Annotated[bool, typer.Option("--all", help="Everybody: it is gone afterwards.")] = False,
        as_json: AsJson = False,
    ) -> None:
        installation = open_installation()
        if everybody and (contacts or file or segment):
            raise InvalidInput("--all leaves nobody to name", "Give either --all or who is meant.")
        named = None if everybody else _named(installation, contacts, file, column, segment, as_of)
        with writing(installation.engine) as connection:
            ids, unknown = (None, 0) if named is None else identify(connection, named)
            removed = remove(connection, labels, name, ids, at=installation.clock())
            total = _total(connection, labels, name)
        _tell(labels, name, {"removed": removed}, unknown, total, as_json=as_json)

    show.__doc__ = f"""Show all {plural} with their number of contacts, or who is on one.

    Example: campaigns {plural} show
    """
    put.__doc__ = f"""Add contacts: named, of a file, or those in a segment now.

    Example: campaigns {plural} add vip 10042 10043
    """
    take_off.__doc__ = f"""Take contacts off: named, of a file, those in a segment, or all.

    Example: campaigns {plural} remove vip --file moved-away.csv
    """
    for command, function in (("show", show), ("add", put), ("remove", take_off)):
        group.command(command)(function)
    return group


def _named(
    installation: Installation,
    contacts: list[str] | None,
    file: Path | None,
    column: str | None,
    segment: str | None,
    as_of: str | None,
) -> pl.Series:
    if sum(map(bool, (contacts, file, segment))) != 1:
        raise InvalidInput("who is meant is not said, or twice", "Give contact ids, or --file, or --segment.")
    if segment:
        with segment_questions(installation, moment(as_of, installation.clock()), about=[segment]) as asked:
            return members_of(asked.session, asked.segment(segment), asked.library, asked.as_of)["contact_id"]
    return names_in_file(file, column) if file else pl.Series(contacts, dtype=pl.String)


def _total(connection: sa.Connection, labels: Labels, name: str) -> int:
    return sum(counts(connection, labels).filter(pl.col("name") == name)["contacts"])


def _tell(labels: Labels, name: str, changes: dict[str, int], unknown: int, total: int, *, as_json: bool) -> None:
    if as_json:
        show_json({labels.word: name, **changes, "unknown": unknown, "contacts": total})
        return
    told = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in changes.items())
    nobody = f", {unknown:,} not known here" if unknown else ""
    console.print(f"{name}: {told}{nobody}; {total:,} contacts now.", markup=False)


lists = commands(LISTS, "Contacts that somebody picked by hand.")
tags = commands(TAGS, "Words put on contacts.")
