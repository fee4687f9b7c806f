"""Reading many rows of the operational database into frames, in bounded pieces."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

Query = sa.Select[*tuple[Any, ...]]
"""A SELECT of any columns."""

PIECE = 50_000
KEYS = 10_000
"""Values bound in one query: below the limits of SQLite (32,766) and PostgreSQL (65,535)."""


def stream_frame(connection: sa.Connection, query: Query, schema: Mapping[str, Any]) -> pl.DataFrame:
    """The query's rows with exactly `schema`; only PIECE rows at a time are held as Python objects."""
    found = connection.execute(query, execution_options={"yield_per": PIECE})
    pieces = [_frame(rows, schema) for rows in found.partitions()]
    return pl.concat(pieces) if pieces else pl.DataFrame(schema=dict(schema))


def stream_plain(connection: sa.Connection, query: Query, schema: Mapping[str, Any]) -> pl.DataFrame:
    """As stream_frame, with values as the driver gives them: rows of SQLAlchemy would cost more than the query."""
    compiled = query.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    names: Any = compiled.positiontup
    bound: Any = [compiled.params[name] for name in names] if names is not None else compiled.params
    cursor = connection.connection.cursor()
    try:
        cursor.execute(str(compiled), bound)
        pieces: list[pl.DataFrame] = []
        while rows := cursor.fetchmany(PIECE):
            pieces.append(_frame(rows, schema))
    finally:
        cursor.close()
    return pl.concat(pieces) if pieces else pl.DataFrame(schema=dict(schema))


def plain_time(connection: sa.Connection, column: sa.ColumnElement[Any]) -> tuple[sa.ColumnElement[Any], pl.DataType]:
    """A time for stream_plain, as something that has the same order: SQLite's own text, else microseconds."""
    if connection.dialect.name == "sqlite":
        return sa.type_coerce(column, sa.Text), pl.String()
    return sa.cast(sa.extract("epoch", column) * 1_000_000, sa.BigInteger), pl.Int64()


def _frame(rows: Sequence[Sequence[Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    columns = zip(*rows, strict=True)  # a third of the time of handing over rows
    named = zip(schema.items(), columns, strict=True)
    return pl.DataFrame([pl.Series(name, values, dtype=kind) for (name, kind), values in named])


def frame_for_keys(
    connection: sa.Connection,
    query: Query,
    key: sa.ColumnElement[Any],
    keys: pl.Series,
    schema: Mapping[str, Any],
) -> pl.DataFrame:
    """The query's rows whose `key` is one of `keys` (each given once), with exactly `schema`."""
    pieces = [
        stream_frame(connection, query.where(_among(connection, key, keys.slice(start, KEYS).to_list())), schema)
        for start in range(0, len(keys), KEYS)
    ]
    return pl.concat(pieces) if pieces else pl.DataFrame(schema=dict(schema))


def _among(connection: sa.Connection, key: sa.ColumnElement[Any], values: list[Any]) -> sa.ColumnElement[bool]:
    """`key` is one of `values`: one parameter on PostgreSQL, where thousands of them are slow to parse."""
    if connection.dialect.name == "postgresql":
        return key == sa.any_(sa.bindparam(None, values, postgresql.ARRAY(key.type), unique=True))
    return key.in_(values)
