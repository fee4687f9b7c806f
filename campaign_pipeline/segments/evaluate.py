"""Who is in a segment: its members, and a preview that counts at each line of the tree."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import CONTACTS, EVENTS, Catalogue, glob_literal, read_catalogue
from campaign_pipeline.segments.compiler import Compiler, Tables, compiler, lake_tables
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.dialect import DuckDB, duckdb_sql
from campaign_pipeline.segments.preview import Preview, Tally

SAMPLE = 10
"""Contacts shown in a preview: those with the lowest ids, which are digests and so as good as drawn."""


def members(
    lake: Lake, segment: Segment, library: Mapping[str, Segment], as_of: datetime, catalogue: Catalogue | None = None
) -> pl.DataFrame:
    """The contacts in `segment` at `as_of`: contact_id (String), sorted.

    `library`: the segments that it may refer to. `catalogue`: if it was read before. InvalidInput names what in the
    segment does not fit the catalogue; NotFound if there are no contacts.
    """
    compiled = _compiler(lake, segment, library, as_of, catalogue)
    with open_lake(lake, compiled.tables) as connection:
        return _run(connection, compiled.members(segment))


def preview(
    lake: Lake, segment: Segment, library: Mapping[str, Segment], as_of: datetime, catalogue: Catalogue | None = None
) -> Preview:
    """How many are in `segment` at `as_of`, and how each line of its tree comes to that; arguments as for members."""
    compiled = _compiler(lake, segment, library, as_of, catalogue)
    tally = Tally.of(segment, compiled)
    with open_lake(lake, compiled.tables) as connection:
        return tally.read(_run(connection, tally.query(SAMPLE)).row(0, named=True))


@contextmanager
def open_lake(lake: Lake, tables: Tables) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection that sees the contact snapshot and the behaviour files as `tables`, and nothing else.

    No other file, no network, no extension, no change of settings. NotFound if there are no contacts.
    """
    snapshot = [lake.path(CONTACTS)]
    behaviour = [lake.path(EVENTS, partition) for partition in lake.partitions(EVENTS)]
    with duckdb.connect() as connection:
        for table, files in ((tables.contacts, snapshot), (tables.events, behaviour)):
            connection.execute(f'CREATE VIEW "{table.name}" AS {_view(table, files)}')
        allowed = [text for file in snapshot + behaviour for text in (str(file.resolve()), glob_literal(file))]
        connection.execute(f"SET allowed_paths = [{', '.join(map(_quote, allowed))}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        if connection.sql(f'SELECT count(*) FROM "{CONTACTS}"').fetchall() == [(0,)]:
            raise NotFound("the contact snapshot has no contacts", "Import some with: campaigns contacts import FILE")
        yield connection


def _view(table: sa.Table, files: list[Path]) -> str:
    if files:
        return f"SELECT * FROM read_parquet([{', '.join(_quote(glob_literal(file)) for file in files)}])"
    columns = ", ".join(f'CAST(NULL AS {column.type.compile(DuckDB())}) AS "{column.name}"' for column in table.columns)
    return f"SELECT {columns} WHERE false"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _compiler(
    lake: Lake, segment: Segment, library: Mapping[str, Segment], as_of: datetime, catalogue: Catalogue | None
) -> Compiler:
    catalogue = catalogue or read_catalogue(lake)
    return compiler(segment, library, catalogue, lake_tables(catalogue), as_of)


def _run(connection: duckdb.DuckDBPyConnection, query: sa.Select[Any]) -> pl.DataFrame:
    text, parameters = duckdb_sql(query)
    return connection.sql(text, params=parameters).pl()
