"""The events of one day, each once: a function of received_events alone, so that any day can be written anew."""

from datetime import UTC, date, datetime, timedelta

import polars as pl

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.events.normalise import SCHEMA

LOOK_BACK = timedelta(days=1)
"""Twilio's callbacks are dated by their arrival: one that is repeated after midnight belongs to the day before."""


def build_day(lake: Lake, day: str) -> pl.DataFrame:
    """Write and return delivery_events/<day> (normalise.SCHEMA): what occurred on `day` (YYYY-MM-DD, UTC).

    Of events with one event_id, the one received first is kept. Sorted by occurred_at and event_id.
    """
    begin = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    end = begin + timedelta(days=1)
    events = pl.DataFrame(schema=SCHEMA)
    if lake.partitions("received_events"):
        occurred_at = pl.col("occurred_at")
        received = pl.scan_parquet(lake.root / "received_events" / "*.parquet")
        near = received.filter(occurred_at >= begin - LOOK_BACK, occurred_at < end).select(*SCHEMA).collect()
        events = _first_received(near).filter(occurred_at >= begin).sort("occurred_at", "event_id")
    lake.write(events, "delivery_events", day)
    return events


def touched_days(events: pl.DataFrame, lake: Lake) -> set[str]:
    """The days that `events` belong to, and the day after where it may have kept a repetition of one of them."""
    dated_by_arrival = pl.col("provider") == "twilio"
    days = set(_dates(events))
    after = {day + timedelta(days=1) for day in _dates(events.filter(dated_by_arrival))}
    return {str(day) for day in days} | {str(day) for day in after if lake.exists("delivery_events", str(day))}


def _dates(events: pl.DataFrame) -> list[date]:
    return events["occurred_at"].dt.date().unique().to_list()


def _first_received(events: pl.DataFrame) -> pl.DataFrame:
    """One row an event_id; among those received at the same moment the choice does not depend on their order."""
    repeated = pl.col("event_id").is_duplicated()
    others = [name for name in SCHEMA if name not in ("event_id", "received_at")]
    copies = events.filter(repeated).sort("received_at", *others, nulls_last=True)
    firsts = copies.unique("event_id", keep="first", maintain_order=True)
    return pl.concat([events.filter(~repeated), firsts])
