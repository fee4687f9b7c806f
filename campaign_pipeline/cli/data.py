"""Data in: `contacts import` and `events import`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.markup import escape as plain

from campaign_pipeline.cli.output import AsJson, console, progress_bar, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.cli.sources import (
    DatabaseTable,
    Delimiter,
    Encoding,
    Escape,
    File,
    FileFormat,
    Query,
    Quote,
    Url,
    UrlVariable,
    chosen_source,
)
from campaign_pipeline.contacts.behaviour import import_events
from campaign_pipeline.contacts.comparing import Change
from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.imports import ImportResult
from campaign_pipeline.contacts.mapping import ContactMapping, EventMapping, mapping_from_pairs
from campaign_pipeline.core.definitions import read_definition
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.operations.installation import Installation

contacts = typer.Typer(help="People who may be reached.", no_args_is_help=True)
events = typer.Typer(help="What contacts did elsewhere, such as purchases.", no_args_is_help=True)

M = TypeVar("M", ContactMapping, EventMapping)

Map = Annotated[
    list[str] | None,
    typer.Option("--map", "-m", help="field=column; again for each. attributes=rest takes all others."),
]
MappingFile = Annotated[Path | None, typer.Option("--mapping", help="YAML file with the mapping, instead of --map.")]
Region = Annotated[str | None, typer.Option(help="Region of phone numbers without a country code, such as DE.")]
Rejects = Annotated[Path | None, typer.Option(help="Where rejected rows go, with line and reason.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, row by row for a few; write nothing.")]


@contacts.command("import")
def import_contact_file(
    file: File = None,
    map_: Map = None,
    mapping: MappingFile = None,
    file_format: FileFormat = None,
    delimiter: Delimiter = None,
    encoding: Encoding = "utf-8",
    quote: Quote = '"',
    escape: Escape = "",
    url: Url = None,
    url_env: UrlVariable = None,
    table: DatabaseTable = None,
    query: Query = None,
    region: Region = None,
    rejects: Rejects = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take in contacts: all of the rows or nothing; rows that are wrong are kept aside with line and reason.

    Example: campaigns contacts import people.csv -m id=customer_no -m email=Mail -m attributes=rest --dry-run
    """
    installation = open_installation()
    source = chosen_source(
        file,
        file_format=file_format,
        delimiter=delimiter,
        encoding=encoding,
        quote=quote,
        escape=escape,
        url=url,
        url_variable=url_env,
        table=table,
        query=query,
    )
    with progress_bar(hidden=as_json):
        result = import_contacts(
            installation.engine,
            source,
            _mapping(map_, mapping, ContactMapping),
            clock=installation.clock,
            rejects_path=rejects or _rejects(installation, file, "contacts"),
            default_region=region or installation.settings.default_region,
            dry_run=dry_run,
        )
    _show(result, as_json=as_json)


@events.command("import")
def import_event_file(
    file: File = None,
    map_: Map = None,
    mapping: MappingFile = None,
    file_format: FileFormat = None,
    delimiter: Delimiter = None,
    encoding: Encoding = "utf-8",
    quote: Quote = '"',
    escape: Escape = "",
    url: Url = None,
    url_env: UrlVariable = None,
    table: DatabaseTable = None,
    query: Query = None,
    rejects: Rejects = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take in behaviour, one event a row; the same rows twice add nothing.

    Example: campaigns events import orders.csv -m contact=customer_no -m event=purchase -m at=day -m properties=rest
    """
    installation = open_installation()
    source = chosen_source(
        file,
        file_format=file_format,
        delimiter=delimiter,
        encoding=encoding,
        quote=quote,
        escape=escape,
        url=url,
        url_variable=url_env,
        table=table,
        query=query,
    )
    with progress_bar(hidden=as_json):
        result = import_events(
            installation.engine,
            installation.lake,
            source,
            _mapping(map_, mapping, EventMapping),
            clock=installation.clock,
            rejects_path=rejects or _rejects(installation, file, "events"),
            dry_run=dry_run,
        )
    _show(result, as_json=as_json)


def _mapping(pairs: list[str] | None, file: Path | None, model: type[M]) -> M:
    if bool(pairs) == bool(file):
        raise InvalidInput("how the columns map is not said", "Give --map field=column pairs, or --mapping FILE.")
    return read_definition(file, model) if file else mapping_from_pairs(pairs or [], model)


def _rejects(installation: Installation, file: Path | None, kind: str) -> Path:
    return installation.settings.data_dir / "rejects" / f"{file.stem if file else kind}-rejects.csv"


def _show(result: ImportResult, *, as_json: bool) -> None:
    if as_json:
        show_json(asdict(result))
        return
    if result.already_imported:
        console.print(f"This was imported before, with the same mapping ({result.read:,} rows): nothing is added.")
        return
    names = ("read", "new", "changed", "unchanged", "repeated", "rejected")
    show_table("would be imported" if result.dry_run else "imported", [{name: getattr(result, name) for name in names}])
    for kind, count in result.warnings.items():
        where = "; ".join(result.examples.get(kind, []))
        told = kind.replace("_", " ")
        console.print(plain(f"  {count:,} x {told}" + (f" ({where}{' ...' if count > 5 else ''})" if where else "")))
    if result.dry_run:
        _show_plan(result)
    if result.rejects_path:
        console.print(f"Rejected rows, with line and reason: {plain(str(result.rejects_path))}")


def _show_plan(result: ImportResult) -> None:
    """What would happen, in more detail than one wants of what has happened."""
    if result.types:
        console.print(plain("  types: " + ", ".join(f"{name} {kind}" for name, kind in result.types.items())))
    if result.fields:
        console.print(plain("  changes: " + ", ".join(f"{name} {count:,}" for name, count in result.fields.items())))
    if result.sample:
        rows = [
            {"key": change.key, "line": change.line, "change": change.change, "fields": _fields(change)}
            for change in result.sample
        ]
        show_table("for example", rows)
    if result.first_rejects:
        show_table("rejected", [{"line": line, "reason": reason} for line, reason in result.first_rejects])
    console.print("Nothing was written.")


def _fields(change: Change) -> str:
    texts: list[str] = []
    for name, values in change.fields.items():
        before, after = ("–" if value is None else str(value) for value in values)  # exact: what differs must show
        texts.append(f"{name}: {after}" if change.change == "new" else f"{name}: {before} → {after}")
    return ", ".join(texts)
