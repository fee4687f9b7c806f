"""Where an import reads from, as options: a file of any kind, or a database."""

import os
from pathlib import Path
from typing import Annotated

import typer

from campaign_pipeline.contacts.sources import Source
from campaign_pipeline.contacts.sources.database import DatabaseRows
from campaign_pipeline.contacts.sources.files import Format, SourceFile
from campaign_pipeline.core.errors import InvalidInput

File = Annotated[Path | None, typer.Argument(help="CSV (with a header line), JSON lines or Parquet; or give --url.")]
FileFormat = Annotated[
    Format | None, typer.Option("--format", help="What the file is, if its name does not say: .csv, .jsonl, .parquet.")
]
Delimiter = Annotated[
    str | None, typer.Option(help="One character, or: tab, whitespace. A comma if not given; tab for .tsv.")
]
Encoding = Annotated[
    str, typer.Option(help="Of CSV: utf-8 (with or without byte order mark), utf-16, latin-1, cp1252 ...")
]
Quote = Annotated[str, typer.Option(help="Of CSV: the character around cells, or: none.")]
Escape = Annotated[str, typer.Option(help="Of CSV: a character that takes away the next one's meaning, such as \\\\.")]
Url = Annotated[str | None, typer.Option(help="SQLAlchemy URL of a database to read from, instead of a file.")]
UrlVariable = Annotated[
    str | None, typer.Option("--url-env", help="Environment variable with the URL: keeps its password out of history.")
]
DatabaseTable = Annotated[str | None, typer.Option("--table", help="With a URL: the table, or schema.table.")]
Query = Annotated[str | None, typer.Option("--query", help="With a URL: one SELECT.")]


def chosen_source(
    file: Path | None,
    *,
    file_format: Format | None,
    delimiter: str | None,
    encoding: str,
    quote: str,
    escape: str,
    url: str | None,
    url_variable: str | None,
    table: str | None,
    query: str | None,
) -> Source:
    """The one source that is given; InvalidInput if there is none, or more than one."""
    if url_variable is not None:
        if url_variable not in os.environ or url is not None:
            raise InvalidInput(
                f"--url-env {url_variable}: " + ("--url is given too" if url else "there is no such variable"),
                f"Set it: export {url_variable}=postgresql+psycopg://...",
            )
        url = os.environ[url_variable]
    if (file is None) == (url is None):
        raise InvalidInput("what to import is not said", "Give a FILE, or a database by --url and --table or --query.")
    if url is not None:
        return DatabaseRows(url, table, query)
    if table or query or file is None:
        raise InvalidInput("--table and --query are of databases", "Give --url or --url-env instead of a file.")
    return SourceFile(file, file_format, delimiter, encoding, quote, escape)
