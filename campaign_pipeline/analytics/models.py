"""Running the DuckDB models under sql/analytics: one file a table, sources in, one typed frame out."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import duckdb
import polars as pl

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.paths import SQL_DIR

Schema = Mapping[str, Any]
"""Column name -> polars type, in order."""

Source = pl.DataFrame | str | Sequence[str]
"""What a model reads: a frame, or a path, paths or a glob of Parquet files, of which it reads the columns it uses."""


def run_model(
    name: str,
    sources: Mapping[str, Source],
    params: Mapping[str, Any] | None = None,
    schema: Schema | None = None,
    *,
    float_sums: bool = False,
) -> pl.DataFrame:
    """The table that sql/analytics/<name>.sql makes of `sources`, in the model's own order.

    `params` are bound, never pasted. With `schema`, the columns are exactly these, of these types.
    `float_sums`: the model adds up fractions, so it runs on one thread, to give the same last digit every time.
    """
    query = (SQL_DIR / "analytics" / f"{name}.sql").read_text(encoding="utf-8")
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")  # days are UTC days, wherever this runs
        if float_sums:
            connection.execute("SET threads = 1")
        connection.execute(macros())
        for table, source in sources.items():
            if not isinstance(source, pl.DataFrame):
                files = source if isinstance(source, str) else list(source)
                source = connection.read_parquet(files, union_by_name=True)
            connection.register(table, source)
        result = connection.sql(query, params=dict(params or {})).pl()
    return conform(result, schema) if schema else result


@cache
def macros() -> str:
    """The functions of sql/macros that models, and analysts in the warehouse, may use."""
    files = sorted((SQL_DIR / "macros").glob("*.sql"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def conform(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """The columns of `schema`, in order, cast strictly to its types."""
    return frame.select(pl.col(column).cast(kind) for column, kind in schema.items())


def lake_source(lake: Lake, asset: str, empty: Schema) -> Source:
    """All partitions of `asset`; while there are none, an empty table with the columns of `empty`."""
    return lake.glob(asset) if lake.partitions(asset) else pl.DataFrame(schema=empty)


def files_source(files: Sequence[str], empty: Schema) -> Source:
    """These Parquet files; of none, an empty table with the columns of `empty`."""
    return files or pl.DataFrame(schema=empty)


def partition_source(lake: Lake, asset: str, partition: str, empty: Schema) -> Source:
    """One partition of `asset`; while it is not there, an empty table with the columns of `empty`."""
    there = lake.exists(asset, partition)
    return str(lake.path(asset, partition)) if there else pl.DataFrame(schema=empty)
