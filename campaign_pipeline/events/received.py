"""Where received events lie in the lake: a folder a day of occurrence, in it a file a batch of the inbox.

A day is built from its own folder and a glance at the day before, so that it costs the same however long the history
is. Days that no clock means would be folders without end: what claims to be older than FIRST_DAY, or more than
DAYS_AHEAD days ahead of its arrival, is kept in a folder for each of the two, and belongs to no day.
"""

from datetime import date, timedelta
from pathlib import Path

import polars as pl

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.events.normalise import RECEIVED

ASSET = "received_events"

FIRST_DAY = date(2020, 1, 1)
"""Events before this day are kept, and are of no day."""

DAYS_AHEAD = 3
"""So many days ahead a provider's clock may be; a rehearsal's certainly is."""

BEFORE, AHEAD = "before-2020", "ahead"
OF_NO_DAY = (BEFORE, AHEAD)


def folder_of() -> pl.Expr:
    """Of events: the day (YYYY-MM-DD, UTC) that they belong to, or BEFORE, or AHEAD. A function of the event alone."""
    day, latest = pl.col("occurred_at").dt.date(), pl.col("received_at").dt.date() + timedelta(days=DAYS_AHEAD)
    return (
        pl.when(day < FIRST_DAY)
        .then(pl.lit(BEFORE))
        .when(day > latest)
        .then(pl.lit(AHEAD))
        .otherwise(day.dt.strftime("%Y-%m-%d"))
    )


def write_received(lake: Lake, events: pl.DataFrame, batch: str) -> list[str]:
    """Write `events` (columns RECEIVED, at least) to the folders of their days; which folders these are.

    The same batch goes to the same files, however often it is written.
    """
    sorted_ = events.select(*RECEIVED).sort("occurred_at", maintain_order=True)
    parts = sorted_.with_columns(folder=folder_of()).partition_by("folder", include_key=False, as_dict=True)
    for (folder,), part in parts.items():
        lake.write(part, ASSET, f"{folder}/{batch}")
    return sorted(str(folder) for (folder,) in parts)


def files_of(lake: Lake, day: date) -> list[Path]:
    """The files that may hold events of `day` (UTC); those of earlier versions, directly in the folder, among them."""
    folder = lake.root / ASSET
    return sorted([*(folder / day.isoformat()).glob("[!.]*.parquet"), *folder.glob("[!.]*.parquet")])


def has_day(lake: Lake, day: date) -> bool:
    """Whether something was received of `day`, or its events were built from files of an earlier version."""
    return (lake.root / ASSET / day.isoformat()).exists() or lake.exists("delivery_events", day.isoformat())
