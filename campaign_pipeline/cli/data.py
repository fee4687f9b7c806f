"""Data in: `contacts import` and `events import`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from campaign_pipeline.cli.output import AsJson, console, progress_bar, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.contacts.behaviour import import_events
from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.imports import ImportResult
from campaign_pipeline.contacts.mapping import ContactMapping, EventMapping, mapping_from_pairs
from campaign_pipeline.contacts.sources.files import Format, SourceFile
from campaign_pipeline.core.definitions import read_definition
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.operations.installation import Installation

contacts = typer.Typer(help="People who may be reached.", no_args_is_help=True)
events = typer.Typer(help="What contacts did elsewhere, such as purchases.", no_args_is_help=True)

M = TypeVar("M", ContactMapping, EventMapping)

File = Annotated[Path, typer.Argument(help="CSV file with a header line.")]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", "-m", help="field=column; again for each. attributes=rest takes all others."),
]
MappingFile = Annotated[Path | None, typer.Option("--mapping", help="YAML file with the mapping, instead of --map.")]
Delimiter = Annotated[str, typer.Option(help="One character, or: tab, whitespace.")]
Encoding = Annotated[str, typer.Option(help="utf-8 (with or without byte order mark), utf-16, latin-1, cp1252.")]
Region = Annotated[str | None, typer.Option(help="Region of phone numbers without a country code, such as DE.")]
Rejects = Annotated[Path | None, typer.Option(help="Where rejected rows go, with line and reason.")]


@contacts.command("import")
def import_contact_file(
    file: File,
    map_: Map = None,
    mapping: MappingFile = None,
    delimiter: Delimiter = ",",
    encoding: Encoding = "utf-8",
    region: Region = None,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Take in contacts: all of the file or nothing; rows that are wrong are kept aside with line and reason.

    Example: campaigns contacts import people.csv -m id=customer_no -m email=Mail -m attributes=rest
    """
    installation = open_installation()
    with progress_bar(hidden=as_json):
        result = import_contacts(
            installation.engine,
            SourceFile(file, Format.CSV, delimiter, encoding),
            _mapping(map_, mapping, ContactMapping),
            clock=installation.clock,
            rejects_path=rejects or _rejects(installation, file),
            default_region=region or installation.settings.default_region,
        )
    _show(result, as_json=as_json)


@events.command("import")
def import_event_file(
    file: File,
    map_: Map = None,
    mapping: MappingFile = None,
    delimiter: Delimiter = ",",
    encoding: Encoding = "utf-8",
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Take in behaviour, one event a row; the same file twice adds nothing.

    Example: campaigns events import orders.csv -m contact=customer_no -m event=purchase -m at=day -m properties=rest
    """
    installation = open_installation()
    with progress_bar(hidden=as_json):
        result = import_events(
            installation.engine,
            installation.lake,
            SourceFile(file, Format.CSV, delimiter, encoding),
            _mapping(map_, mapping, EventMapping),
            clock=installation.clock,
            rejects_path=rejects or _rejects(installation, file),
        )
    _show(result, as_json=as_json)


def _mapping(pairs: list[str] | None, file: Path | None, model: type[M]) -> M:
    if bool(pairs) == bool(file):
        raise InvalidInput("how the columns map is not said", "Give --map field=column pairs, or --mapping FILE.")
    return read_definition(file, model) if file else mapping_from_pairs(pairs or [], model)


def _rejects(installation: Installation, file: Path) -> Path:
    return installation.settings.data_dir / "rejects" / f"{file.stem}-rejects.csv"


def _show(result: ImportResult, *, as_json: bool) -> None:
    if as_json:
        show_json(asdict(result))
        return
    if result.already_imported:
        console.print(
            f"This file was imported before, with the same mapping ({result.read:,} rows): nothing was added."
        )
        return
    names = ("read", "new", "changed", "unchanged", "repeated", "rejected")
    show_table("imported", [{name: getattr(result, name) for name in names}])
    for kind, count in result.warnings.items():
        console.print(f"  {count:,} x {kind.replace('_', ' ')}")
    if result.rejects_path:
        console.print(f"Rejected rows, with line and reason: {result.rejects_path}")
