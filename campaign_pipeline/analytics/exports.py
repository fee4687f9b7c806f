"""Tables of the warehouse as files for other programs: CSV that a spreadsheet can open safely, and Parquet.

Only what analysts may see can be exported: nothing personal is in the warehouse.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

import duckdb

from campaign_pipeline.analytics.warehouse import VIEWS, view
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.lake import Lake

FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
"""How a cell begins that a spreadsheet takes for a formula: OWASP, "CSV Injection", with the full-width signs."""


class Format(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


def export_table(lake: Lake, name: str, path: Path, kind: Format, run_ids: Sequence[str] | None = None) -> int:
    """Write table `name` of the warehouse to `path`, whole or not at all; the number of rows.

    `run_ids`: only rows of these runs; None: all rows. Columns stand in the order of the warehouse, rows in that of the
    lake. Parquet keeps the types. CSV is UTF-8 with a header, text in quotes (so that an empty text is not a missing
    value), times in UTC, and an apostrophe before text that a spreadsheet would take for a formula.
    NotFound for a table that is not in the warehouse; InvalidInput for runs of a table that has none.
    """
    if name not in VIEWS:
        raise NotFound(f"table {name!r} is not in the warehouse", f"There are: {', '.join(VIEWS)}.")
    if run_ids is not None and "run_id" not in VIEWS[name]:
        raise InvalidInput(f"table {name!r} is not by run", "Export all of it: give no run and no campaign.")
    if not path.parent.is_dir():
        raise InvalidInput(f"folder {str(path.parent)!r} does not exist", "Make it, or give another --output.")
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET threads = 1")  # what is filtered keeps the order of its files on one thread only
            rows = _write(connection, view(connection, lake, name), temporary, kind, run_ids)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    return rows


def _write(
    connection: duckdb.DuckDBPyConnection,
    table: duckdb.DuckDBPyRelation,
    path: Path,
    kind: Format,
    run_ids: Sequence[str] | None,
) -> int:
    texts = [c for c, type_ in zip(table.columns, table.types, strict=True) if type_ == duckdb.sqltype("VARCHAR")]
    columns = [_safe(column) if kind is Format.CSV and column in texts else _quoted(column) for column in table.columns]
    table.create_view("exported")
    query = f"SELECT {', '.join(columns)} FROM exported"
    if run_ids is not None:
        wanted = ", ".join(map(_literal, run_ids))
        query += f" WHERE list_contains([{wanted}]::VARCHAR[], run_id)"
    forced = f", FORCE_QUOTE ({', '.join(map(_quoted, texts))})" if texts else ""
    options = "FORMAT parquet, COMPRESSION zstd" if kind is Format.PARQUET else f"FORMAT csv, HEADER{forced}"
    (rows,) = connection.execute(f"COPY ({query}) TO {_literal(str(path))} ({options})").fetchall()[0]
    return int(rows)


def _safe(column: str) -> str:
    name = _quoted(column)
    return f"CASE WHEN regexp_matches({name}, '{FORMULA}') THEN '''' || {name} ELSE {name} END AS {name}"


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
