"""Parquet files: typed columns, as text in the form that everything else reads."""

from pathlib import Path

import polars as pl

from campaign_pipeline.contacts.sources.plain import EXACT, TextColumns
from campaign_pipeline.contacts.sources.table import BLOCK, LINE, Table, checked_names, without_nul
from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.errors import InvalidInput


def read_parquet(file: Path) -> Table:
    """The rows of `file`, numbered from 1; nested values are JSON text.

    Rejects: rows with bytes that are not UTF-8 in a binary column, or with a NUL character. InvalidInput: the file
    cannot be read as Parquet.
    """
    try:
        with file.open("rb") as stream:
            found = pl.read_parquet(stream)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        raise InvalidInput(f"{file} cannot be read as Parquet", "Check the file, or give its format.") from None
    found.columns = checked_names(str(file), found.columns)
    types = {name: kind for name, column in zip(found.columns, found, strict=True) if (kind := _type(column))}
    lines = pl.int_range(1, len(found) + 1, dtype=pl.Int64, eager=True).alias(LINE)
    rows = pl.DataFrame([lines, *(_text(column) for column in found)])
    undecoded = [
        rows[name].is_null() & found[name].is_not_null() for name in found.columns if found[name].dtype == pl.Binary
    ]
    table = Table(rows, types=types)
    if undecoded:
        bad = rows.filter(pl.any_horizontal(undecoded))[LINE]
        rejects = table.reject(dict.fromkeys(bad.to_list(), "holds bytes that are not UTF-8"))
        table = Table(rows.filter(~pl.col(LINE).is_in(bad.implode())), rejects, types)
    return without_nul(table)


def _type(column: pl.Series) -> ValueType | None:
    """The type that the file says; None: no value says anything."""
    kind = column.dtype
    if column.null_count() == len(column):
        return None
    if kind == pl.Boolean:
        return ValueType.BOOLEAN
    if kind.is_integer():
        return ValueType.INTEGER
    if kind.is_numeric():
        return ValueType.NUMBER
    return ValueType.DATE if kind == pl.Date else ValueType.STRING


def _text(column: pl.Series) -> pl.Series:
    match column.dtype:
        case pl.Datetime() as kind if kind.time_zone is not None:
            return column.dt.convert_time_zone("UTC").dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ")
        case pl.Datetime():
            return column.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f")
        case pl.Date():
            return column.dt.to_string("%Y-%m-%d")
        case pl.Float32() | pl.Float64():  # a whole one as in plain.py
            whole = ((column == column.round(0)) & (column.abs() < EXACT)).fill_null(value=False)
            integers = column.cast(pl.Int64, strict=False).cast(pl.String)
            return integers.zip_with(whole, column.cast(pl.String))
        case pl.Binary():  # writers that know no text write it as bytes
            return pl.Series(column.name, [_decoded(value) for value in column], dtype=pl.String)
        case pl.List() | pl.Array() | pl.Struct() | pl.Duration() | pl.Object():
            text = TextColumns()
            for start in range(0, len(column), BLOCK):
                piece = column.slice(start, BLOCK)
                text.add(range(len(piece)), {"text": piece.to_list()})
            found = text.rows()
            return found["text"].rename(column.name) if len(found) else column.cast(pl.String)
        case _:
            return column.cast(pl.String)


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
