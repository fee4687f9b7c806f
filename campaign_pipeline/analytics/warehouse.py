"""What analysts open: data/warehouse.duckdb, views over the lake, rebuilt whole and swapped in.

Nothing personal is in it: audiences come without addresses, names and attributes, and links without their query.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import duckdb
import polars as pl

from campaign_pipeline.analytics.models import macros
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
from campaign_pipeline.analytics.table_schemas import (
    COHORT_RETENTION,
    CONTACT_ACTIVITY,
    CONTACT_ENGAGEMENT,
    CONTENT_PERFORMANCE,
    CONVERSIONS,
    DELIVERABILITY,
    DELIVERY_ERRORS,
    EVENT_DAYS,
    FUNNEL,
    HOLDOUT_LIFT,
    LINK_PERFORMANCE,
    PRE_PERIOD,
    REPLIES,
    RESPONSE_TIMES,
    SYSTEM_METRICS,
    TOUCHES,
)
from campaign_pipeline.core.errors import Inconsistent
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
    "touches": TOUCHES,
    "conversions": CONVERSIONS,
    "pre_period": PRE_PERIOD,
    "holdout_lift": HOLDOUT_LIFT,
    "funnel": FUNNEL,
    "response_times": RESPONSE_TIMES,
    "replies": REPLIES,
    "link_performance": LINK_PERFORMANCE,
    "content_performance": CONTENT_PERFORMANCE,
    "deliverability": DELIVERABILITY,
    "delivery_errors": DELIVERY_ERRORS,
    "system_metrics": SYSTEM_METRICS,
    "event_days": EVENT_DAYS,
    "contact_activity": CONTACT_ACTIVITY,
    "contact_engagement": CONTACT_ENGAGEMENT,
    "cohort_retention": COHORT_RETENTION,
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
        connection.execute(macros())
        for view, schema in VIEWS.items():
            connection.execute(f"CREATE VIEW {view} AS {_query(connection, lake, view, schema)}")

    swap_in(settings.warehouse_path, build)
    return counts


def _query(connection: duckdb.DuckDBPyConnection, lake: Lake, view: str, schema: Mapping[str, Any]) -> str:
    nulls = {column: f"NULL::{kind}" for column, kind in column_types(schema).items()}
    if not lake.partitions(view):
        return "SELECT " + ", ".join(f"{null} AS {_quoted(column)}" for column, null in nulls.items()) + " WHERE false"
    # Audiences of different runs may differ in the struct of contact attributes, so columns go by position of the
    # first file there; all other tables have one schema, and may gain columns.
    options = "filename = true" if view == "audience" else "union_by_name = true"
    pattern = lake.glob(view).replace("'", "''")
    rows = f"read_parquet('{pattern}', {options})"
    there = set(connection.sql(f"SELECT * FROM {rows} LIMIT 0").columns)
    if there.isdisjoint(schema):  # files of an earlier version have fewer columns, but some
        raise Inconsistent(f"the files of {view} in the lake have none of its columns", "Are they of another table?")
    there |= {column for of, column in _EXPRESSIONS if of == view}
    columns = ", ".join(
        f"{_EXPRESSIONS.get((view, column), _quoted(column)) if column in there else null} AS {_quoted(column)}"
        for column, null in nulls.items()
    )
    return f"SELECT {columns} FROM {rows}"


def column_types(schema: Mapping[str, Any]) -> Mapping[str, str]:
    """DuckDB's type of each column, as views show it."""
    return _types(tuple(schema.items()))


@cache
def _types(columns: tuple[tuple[str, Any], ...]) -> Mapping[str, str]:
    with duckdb.connect(":memory:") as connection:
        frame = pl.DataFrame(schema=dict(columns)).to_arrow(compat_level=pl.CompatLevel.oldest())
        empty = connection.from_arrow(frame)
        return {column: str(kind) for column, kind in zip(empty.columns, empty.types, strict=True)}


def _quoted(column: str) -> str:
    return f'"{column}"'


def view(connection: duckdb.DuckDBPyConnection, lake: Lake, name: str) -> duckdb.DuckDBPyRelation:
    """One of VIEWS over what is in `lake` now, without the warehouse's file: a partition written since is there too."""
    return connection.sql(_query(connection, lake, name, VIEWS[name]))
