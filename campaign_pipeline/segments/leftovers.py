"""Files of memberships that nobody needs any more: old ones, and those of evaluations that broke off."""

import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import segment_evaluations
from campaign_pipeline.segments.membership import CHANGES, MEMBERSHIP

KEPT = 2
"""Membership files kept of a segment: the newest, and the one before for whoever is reading it."""

ABANDONED = timedelta(hours=1)
"""Age at which a file without a row is what an evaluation left that broke off, and not of one under way."""


def remove_leftovers(connection: sa.Connection, lake: Lake, segment: str) -> None:
    """Remove the segment's membership files but the newest KEPT, and all files of evaluations that broke off long ago.

    An evaluation writes its membership before its changes. So the changes of one that broke off are found by its
    membership file, which goes last, and the folder of changes, which only grows, is never searched.
    """
    folder = lake.path(MEMBERSHIP, f"{segment}/any").parent
    there = [f"{segment}/{file.stem}" for file in folder.glob("[!.]*.parquet")]
    column = segment_evaluations.c.partition
    query = sa.select(column).where(segment_evaluations.c.segment == segment, column.in_(there)).group_by(column)
    named = connection.execute(query.order_by(sa.func.max(segment_evaluations.c.evaluation_id))).scalars().all()
    for partition in named[:-KEPT]:
        lake.path(MEMBERSHIP, partition).unlink(missing_ok=True)
    for partition in set(there) - set(named):
        members, changes = lake.path(MEMBERSHIP, partition), lake.path(CHANGES, partition)
        _remove_abandoned([*changes.parent.glob(f".{changes.name}.*"), changes, members], members)
    for half_written in folder.glob(".*"):
        _remove_abandoned([half_written], half_written)


def _remove_abandoned(files: Iterable[Path], written: Path) -> None:
    """Remove `files` if `written` is there and old."""
    try:
        age = time.time() - written.stat().st_mtime
    except FileNotFoundError:  # it has its name by now, or another has removed it
        return
    if age > ABANDONED.total_seconds():
        for file in files:
            file.unlink(missing_ok=True)
