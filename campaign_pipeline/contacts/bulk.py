"""Frames into tables within the transaction under way: COPY on PostgreSQL, the driver's executemany on SQLite.

The rows pass by SQLAlchemy's per-value processing, so that types are put into the database's own form here, a column at
a time. Frames have String (also for JSON documents), Int64, Float64, Boolean and TIME columns, named as the table's.
"""

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.progress import Progress

PIECE = 50_000
CACHE_KB = 256_000
"""Of SQLite's pages, while rows go in: they go to places all over the indexes, and with the usual 2 MB every page would
be read again and again."""


def insert_frame(
    connection: sa.Connection, table: sa.Table, frame: pl.DataFrame, progress: Progress | None = None
) -> None:
    """Append the rows; columns that the frame lacks get their defaults in the database."""
    if frame.is_empty():
        return
    if connection.dialect.name == "postgresql":
        _copy(connection, _quoted(connection, table.name), frame, progress)
        return
    columns = ", ".join(_quoted(connection, name) for name in frame.columns)
    places = ", ".join("?" * frame.width)
    _execute_many(connection, f"INSERT INTO {table.name} ({columns}) VALUES ({places})", frame, progress)


def update_frame(
    connection: sa.Connection, table: sa.Table, key: str, frame: pl.DataFrame, progress: Progress | None = None
) -> None:
    """Set the frame's other columns in the rows that have its `key`."""
    if frame.is_empty():
        return
    others = [name for name in frame.columns if name != key]
    if connection.dialect.name == "postgresql":
        columns = ", ".join(_quoted(connection, name) for name in frame.columns)
        connection.exec_driver_sql(f"CREATE TEMP TABLE staged AS SELECT {columns} FROM {table.name} WITH NO DATA")
        _copy(connection, "staged", frame, progress)
        connection.exec_driver_sql("ANALYZE staged")
        changes = ", ".join(f"{_quoted(connection, name)} = staged.{_quoted(connection, name)}" for name in others)
        where = f"{table.name}.{key} = staged.{key}"
        connection.exec_driver_sql(f"UPDATE {table.name} SET {changes} FROM staged WHERE {where}")
        connection.exec_driver_sql("DROP TABLE staged")
        return
    changes = ", ".join(f"{_quoted(connection, name)} = ?" for name in others)
    _execute_many(
        connection, f"UPDATE {table.name} SET {changes} WHERE {key} = ?", frame.select(*others, key), progress
    )


def _copy(connection: sa.Connection, table: str, frame: pl.DataFrame, progress: Progress | None) -> None:
    """As CSV: text is quoted, null is not. A line never starts with a backslash, which could end the data, since the
    first column is an id or is quoted."""
    columns = ", ".join(_quoted(connection, name) for name in frame.columns)
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv)") as copy:
        for start in range(0, len(frame), PIECE):
            piece = frame.slice(start, PIECE)
            text = piece.write_csv(
                include_header=False, quote_style="non_numeric", datetime_format="%Y-%m-%d %H:%M:%S%.6f+00"
            )
            copy.write(text)
            if progress:
                progress(start + len(piece), len(frame))


def _execute_many(connection: sa.Connection, statement: str, frame: pl.DataFrame, progress: Progress | None) -> None:
    before = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql(f"PRAGMA cache_size = -{CACHE_KB}")
    ready = frame.with_columns(pl.col(pl.Datetime).dt.to_string("%Y-%m-%d %H:%M:%S%.6f"))
    for start in range(0, len(ready), PIECE):
        rows = ready.slice(start, PIECE).rows()
        connection.exec_driver_sql(statement, rows)
        if progress:
            progress(start + len(rows), len(ready))
    connection.exec_driver_sql(f"PRAGMA cache_size = {before}")


def _quoted(connection: sa.Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)
