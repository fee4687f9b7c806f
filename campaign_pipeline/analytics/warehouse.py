"""What analysts open: data/warehouse.duckdb, views over the lake, rebuilt whole and swapped in.

Nothing personal is in it: audiences come without addresses, names and attributes, and links without their query.
"""

from collections.abc import Mapping
from typing import Any

import duckdb
import polars as pl

from campaign_pipeline.analytics.schemas import (
    AB_RESULTS,
    ASSIGNMENTS,
    AUDIENCE,
    AUDIENCE_SUMMARY,
    CAMPAIGN_DAYS,
    CAMPAIGN_METRICS,
    DELIVERY_EVENTS,
    MESSAGE_FACTS,
)
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.warehouse import swap_in

VIEWS: Mapping[str, Mapping[str, Any]] = {
    "message_facts": MESSAGE_FACTS,
    "audience_summary": AUDIENCE_SUMMARY,
    "campaign_metrics": CAMPAIGN_METRICS,
    "campaign_days": CAMPAIGN_DAYS,
    "ab_results": AB_RESULTS,
    "delivery_events": DELIVERY_EVENTS,
    "assignments": ASSIGNMENTS,
    "audience": {"run_id": pl.String, **AUDIENCE},
}
"""Views of the warehouse, each named as its folder in the lake, with the columns that they show."""

_EXPRESSIONS = {
    ("audience", "run_id"): "parse_filename(filename, true)",  # its partition: the rows do not say
    ("delivery_events", "url"): "regexp_extract(url, '^[^?#]*')",  # a query may name a person
}


def rebuild_warehouse(settings: Settings, lake: Lake) -> dict[str, int]:
    """Build the warehouse of `lake` and put it in place; the number of partitions behind each view.

    A view whose folder is empty is there, with its columns and no rows. New partitions of a folder that was not
    empty show at once; after the first one of a folder, rebuild.
    """
    counts = {view: len(lake.partitions(view)) for view in VIEWS}

    def build(connection: duckdb.DuckDBPyConnection) -> None:
        for view, schema in VIEWS.items():
            connection.execute(f"CREATE VIEW {view} AS {_query(connection, lake, view, schema)}")

    swap_in(settings.warehouse_path, build)
    return counts


def _query(connection: duckdb.DuckDBPyConnection, lake: Lake, view: str, schema: Mapping[str, Any]) -> str:
    empty = connection.from_arrow(pl.DataFrame(schema=dict(schema)).to_arrow(compat_level=pl.CompatLevel.oldest()))
    unknown = {
        column: f"NULL::{kind} AS {_quoted(column)}" for column, kind in zip(empty.columns, empty.types, strict=True)
    }
    if not lake.partitions(view):
        return f"SELECT {', '.join(unknown.values())} WHERE false"
    # Audiences of different runs may differ in the struct of contact attributes, so columns go by position of the
    # first file there; all other tables have one schema, and may gain columns.
    options = "filename = true" if view == "audience" else "union_by_name = true"
    pattern = lake.glob(view).replace("'", "''")
    source = f"read_parquet('{pattern}', {options})"
    # Files of an earlier version have fewer columns; files that have none of them are no such table, and an error.
    there = set(connection.sql(f"SELECT * FROM {source} LIMIT 0").columns)
    earlier = bool(there & set(schema))
    columns = ", ".join(
        f"{_EXPRESSIONS.get((view, column), _quoted(column))} AS {_quoted(column)}"
        if column in there or (view, column) in _EXPRESSIONS or not earlier
        else unknown[column]
        for column in schema
    )
    return f"SELECT {columns} FROM {source}"


def _quoted(column: str) -> str:
    return f'"{column}"'


def view(connection: duckdb.DuckDBPyConnection, lake: Lake, name: str) -> duckdb.DuckDBPyRelation:
    """One of VIEWS over what is in `lake` now, without the warehouse's file: a partition written since is there too."""
    return connection.sql(_query(connection, lake, name, VIEWS[name]))
