"""Reading a CSV or Parquet file of an experiment: text first, then a typed cast that names what does not fit."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from campaign_pipeline.analytics.experiments.design import MetricKind
from campaign_pipeline.core.errors import InvalidInput

TRUTH = {"true": True, "false": False, "1": True, "0": False}
"""What a proportion's column may hold, in any case; empty: not known."""


@dataclass(frozen=True)
class MetricColumn:
    """A metric of the file; without `kind`, a column that holds only true, false, 1 and 0 is a proportion."""

    column: str
    kind: MetricKind | None = None
    denominator: str | None = None

    @property
    def name(self) -> str:
        return f"{self.column}/{self.denominator}" if self.denominator else self.column


def parse_metric(text: str) -> MetricColumn:
    """`COLUMN`, `COLUMN:proportion`, `COLUMN:mean`, `COLUMN:revenue` or `COLUMN/COLUMN:ratio`."""
    column, colon, kind = text.rpartition(":")
    if not colon:
        return MetricColumn(text)
    if not column or kind not in set(MetricKind):
        raise InvalidInput(
            f"--metric {text!r} is not COLUMN[:proportion|mean|revenue] or COLUMN/COLUMN:ratio",
            "Example: --metric retention_7:mean",
        )
    if kind == MetricKind.RATIO:
        numerator, slash, denominator = column.partition("/")
        if not (numerator and slash and denominator):
            raise InvalidInput(f"--metric {text!r} does not name two columns", "Example: --metric clicks/visits:ratio")
        return MetricColumn(numerator, MetricKind.RATIO, denominator)
    return MetricColumn(column, MetricKind(kind))


def read_texts(file: Path, columns: Sequence[str]) -> pl.DataFrame:
    """`columns` of `file` as text, and `line`: the number of the row; in CSV the header is 1, in Parquet the first row.

    CSV in UTF-8, with or without a byte order mark; the delimiter is the one of , ; tab | that the header has most of.
    An empty field is null. InvalidInput names the line of a row that has too many or too few fields.
    """
    parquet = _is_parquet(file)
    header, delimiter = (_parquet_header(file), "") if parquet else _header(file)
    if missing := [column for column in columns if column not in header]:
        raise InvalidInput(f"{file.name} has no column {missing[0]!r}", f"It has: {', '.join(header)}.")
    if repeated := [column for column in columns if header.count(column) > 1]:
        raise InvalidInput(f"{file.name} has more than one column {repeated[0]!r}")
    if parquet:
        texts = pl.scan_parquet(file, glob=False).select(pl.col(columns).cast(pl.String)).collect()
        return texts.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line"), pl.all())
    names = {f"c{index}": "VARCHAR" for index in range(len(header))}
    picked = ", ".join(f"c{header.index(column)}" for column in columns)
    query = f"""
        SELECT row_number() OVER () + 1 AS line, {picked}
        FROM read_csv($file, columns = $names, auto_detect = false, header = true, delim = $delimiter,
                      quote = '"', escape = '"', comment = '', nullstr = '', strict_mode = true)
    """
    with duckdb.connect(":memory:") as connection:
        try:
            texts = connection.sql(query, params={"file": str(file), "names": names, "delimiter": delimiter}).pl()
        except duckdb.Error as error:  # its text quotes the line, which may hold personal data
            line = re.search(r"CSV Error on Line: (\d+)", str(error))
            where = f":{line[1]}" if line else ""
            raise InvalidInput(
                f"{file.name}{where} is not a row of {len(header)} fields in UTF-8",
                "Export the file again as CSV in UTF-8, with fields that hold the delimiter in quotes.",
            ) from None
    return texts.rename({f"c{header.index(column)}": column for column in columns})


def columns_of(file: Path) -> list[str]:
    """The names of the columns of a CSV or Parquet file."""
    return _parquet_header(file) if _is_parquet(file) else _header(file)[0]


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() in (".parquet", ".pq")


def _parquet_header(file: Path) -> list[str]:
    try:
        return list(pl.read_parquet_schema(file))
    except FileNotFoundError:
        raise InvalidInput(f"{file} does not exist") from None
    except (OSError, pl.exceptions.PolarsError):
        raise InvalidInput(f"{file.name} is not a Parquet file that can be read") from None


def _header(file: Path) -> tuple[list[str], str]:
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            first = stream.readline()
    except FileNotFoundError:
        raise InvalidInput(f"{file} does not exist") from None
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None
    delimiter = max(",;\t|", key=first.count)
    header = next(csv.reader([first], delimiter=delimiter), [])
    if not header:
        raise InvalidInput(f"{file.name} is empty", "The first line must name the columns.")
    return header, delimiter


def typed_metric(file: Path, texts: pl.DataFrame, metric: MetricColumn) -> tuple[MetricKind, pl.Series]:
    """The metric's kind and its values, Boolean or Float64; InvalidInput names column, value and line of a misfit."""
    text = texts[metric.column].str.strip_chars()
    truth = text.str.to_lowercase().replace_strict(TRUTH, default=None, return_dtype=pl.Boolean)
    fits = bool((truth.is_not_null() | text.is_null()).all())
    kind = metric.kind or (MetricKind.PROPORTION if fits else MetricKind.MEAN)
    if kind is MetricKind.PROPORTION:
        _all_fit(file, texts, metric, truth.is_not_null(), "true, false, 1 or 0")
        return kind, truth
    number = text.cast(pl.Float64, strict=False)
    if metric.kind is not None and fits:
        number = number.fill_null(truth.cast(pl.Float64))
    _all_fit(file, texts, metric, number.is_finite().fill_null(False), "a number")
    return kind, number


def _all_fit(file: Path, texts: pl.DataFrame, metric: MetricColumn, fits: pl.Series, wanted: str) -> None:
    bad = texts.filter(~fits & pl.col(metric.column).is_not_null())
    if bad.height:
        line, value = bad["line"][0], bad[metric.column][0]
        more = f" (and {bad.height - 1} more)" if bad.height > 1 else ""
        raise InvalidInput(f"{file.name}:{line}: {metric.column}: {value[:60]!r} is not {wanted}{more}")
