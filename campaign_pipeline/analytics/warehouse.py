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
    if not lake.partitions(view):
        empty = connection.from_arrow(pl.DataFrame(schema=dict(schema)).to_arrow(compat_level=pl.CompatLevel.oldest()))
        typed = zip(empty.columns, empty.types, strict=True)
        return "SELECT " + ", ".join(f"NULL::{kind} AS {_quoted(column)}" for column, kind in typed) + " WHERE false"
    columns = ", ".join(
        f'{_EXPRESSIONS.get((view, column), chr(34) + column + chr(34))} AS "{column}"' for column in schema
    )
    # Audiences of different runs may differ in the struct of contact attributes, so columns go by position of the
    # first file there; all other tables have one schema, and may gain columns.
    options = "filename = true" if view == "audience" else "union_by_name = true"
    pattern = lake.glob(view).replace("'", "''")
    return f"SELECT {columns} FROM read_parquet('{pattern}', {options})"


def _quoted(column: str) -> str:
    return f'"{column}"'
