"""The data dictionary: `dictionary`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from campaign_pipeline.analytics.dictionary import as_markdown, tables
from campaign_pipeline.cli.output import AsJson, console, show_json


def dictionary(
    output: Annotated[Path | None, typer.Option(help="File to write; printed if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every table of the warehouse with its columns, types and meanings, as Markdown.

    Example: campaigns dictionary --output docs/data-dictionary.md
    """
    if as_json:
        show_json({"tables": [asdict(each) for each in tables()]})
    elif output is None:
        print(as_markdown(), end="")  # noqa: T201  as it is: not cut, not marked up
    else:
        output.write_text(as_markdown(), encoding="utf-8")
        console.print(f"{len(tables())} tables written to {output}")


def register(app: typer.Typer) -> None:
    app.command()(dictionary)
