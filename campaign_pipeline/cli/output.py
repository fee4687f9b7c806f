"""Showing results: tables and progress for people, one JSON object for machines, one shape for errors."""

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TextIO

import polars as pl
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from campaign_pipeline.core.errors import CampaignError
from campaign_pipeline.core.progress import listening
from campaign_pipeline.core.written import written

WIDTH_OF_FILES = 120
"""Columns of a table that goes to a file or pipe; a terminal says its own. Text there is not cut into lines."""


def _console(stream: TextIO, *, stderr: bool) -> Console:
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=None if stream.isatty() else WIDTH_OF_FILES)


console = _console(sys.stdout, stderr=False)
errors = _console(sys.stderr, stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]


def show_json(data: object) -> None:
    print(json.dumps(data, default=_plain, ensure_ascii=False))  # noqa: T201


def _plain(value: object) -> object:
    match value:
        case pl.DataFrame():
            return value.to_dicts()
        case datetime() | date():
            return value.isoformat()
        case Enum():
            return value.value
        case Path():
            return str(value)
        case Decimal():
            return int(value) if value == int(value) else float(value)
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def show_error(error: CampaignError, *, as_json: bool) -> None:
    if as_json:
        show_json({"error": {"type": type(error).__name__, "message": error.message, "hint": error.hint}})
        return
    errors.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
    if error.hint:
        errors.print(f"  [dim]{escape(error.hint)}[/]", soft_wrap=True)


def show_table(title: str, rows: pl.DataFrame | Sequence[Mapping[str, Any]]) -> None:
    """A frame, or rows with the same keys, as a table; numbers to the right."""
    if title:
        console.print(f"[bold]{escape(title)}[/]")
    console.print(table_of(rows), soft_wrap=False)


def table_of(rows: pl.DataFrame | Sequence[Mapping[str, Any]]) -> Table:
    """The table that `show_table` shows."""
    frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(list(rows), infer_schema_length=None)
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for name, kind in frame.schema.items():
        table.add_column(name.replace("_", " "), justify="right" if kind.is_numeric() else "left", overflow="fold")
    for row in frame.rows():
        table.add_row(*(escape(written(value)) for value in row))
    return table


@contextmanager
def progress_bar(*, hidden: bool = False) -> Generator[Progress]:
    """Shows the progress of everything inside the block; on a terminal only."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=hidden or not sys.stderr.isatty(),
    )
    tasks: dict[str, TaskID] = {}

    def listen(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what, total=total)
        progress.update(tasks[what], completed=done, total=total)

    with progress, listening(listen):
        yield progress
