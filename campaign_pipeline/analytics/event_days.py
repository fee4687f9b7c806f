"""Which days have events of a run: so that the cost of its figures grows with its own days, and not with history."""

from collections.abc import Iterable
from datetime import date

import polars as pl

from campaign_pipeline.analytics.models import run_model
from campaign_pipeline.analytics.table_schemas import EVENT_DAYS
from campaign_pipeline.core.lake import Lake

EVENTS = "delivery_events"
INDEX = "event_days"


def build_event_days(lake: Lake, day: str) -> pl.DataFrame:
    """The events of `day` by run and kind (table_schemas.EVENT_DAYS; meanings: sql/analytics/event_days.sql)."""
    return run_model("event_days", {"events": str(lake.path(EVENTS, day))}, {"day": day}, EVENT_DAYS)


def event_files(lake: Lake, run_id: str, since: date | None = None) -> list[str]:
    """The files of delivery_events that may hold events of the run, in order; `since`: none is older.

    A day whose index is missing, or older than the day's events, is taken without asking.
    """
    days = [day for day in lake.partitions(EVENTS) if since is None or day >= since.isoformat()]
    indexed = [day for day in days if _is_indexed(lake, day)]
    having = _having(lake, indexed, run_id)
    return [str(lake.path(EVENTS, day)) for day in days if day in having or day not in indexed]


def _is_indexed(lake: Lake, day: str) -> bool:
    index = lake.path(INDEX, day)
    return index.exists() and index.stat().st_mtime_ns >= lake.path(EVENTS, day).stat().st_mtime_ns


def _having(lake: Lake, days: Iterable[str], run_id: str) -> set[str]:
    files = [lake.path(INDEX, day) for day in days]
    if not files:
        return set()
    found = pl.scan_parquet(files, glob=False).filter(pl.col("run_id") == run_id).select("day").unique().collect()
    return {str(day) for day in found["day"]}
