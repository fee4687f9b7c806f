"""Contacts that may have moved since a segment was evaluated: those with new events, and those that changed.

What an evaluation had before it is kept in the lake as `segment_inputs/<segment>`: source (String), stamp (String), one
row a file of events, and one for the contacts. It is written after the evaluation's row. So if that breaks off, or two
write at once, the file is older than the row at worst: contacts are looked at once more, and none is missed.

Only looking at these contacts is short of a full evaluation for contacts that move without being touched:

- by time: windows and dates pass, a suppression expires;
- by others: a percentile or a limit moves with everybody;
- by what was taken out of the lake, other than by erasing contacts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.queries import Query, stream_frame
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import consents, contacts, suppressions
from campaign_pipeline.segments.catalogue import CONTACTS, EVENTS

ASSET = "segment_inputs"
SCHEMA = {"source": pl.String, "stamp": pl.String}
ID = {"contact_id": pl.String}

MARGIN = timedelta(minutes=15)
"""A change that was written down this long before the snapshot was read may have been committed after it."""


@dataclass(frozen=True)
class Inputs:
    """`files`: "asset/partition" -> a stamp that changes with the file. `contacts_at`: when the snapshot was read."""

    files: Mapping[str, str]
    contacts_at: datetime


def current_inputs(lake: Lake, ahead: timedelta = timedelta()) -> Inputs:
    """What the lake holds now; NotFound without a contact snapshot.

    `ahead`: how far the product's clock is before that of the machine, which stamps files.
    """
    if not lake.exists(CONTACTS):
        raise NotFound("there is no contact snapshot", "Import contacts (campaigns contacts import FILE) first.")
    files = {f"{EVENTS}/{partition}": _stamp(lake, EVENTS, partition) for partition in lake.partitions(EVENTS)}
    snapshot = lake.path(CONTACTS).stat().st_mtime
    return Inputs(files, datetime.fromtimestamp(snapshot, UTC) + ahead)


def _stamp(lake: Lake, asset: str, partition: str) -> str:
    found = lake.path(asset, partition).stat()
    return f"{found.st_size}-{found.st_mtime_ns}"


def remember_inputs(lake: Lake, segment: str, inputs: Inputs) -> None:
    """Keep what the evaluation of `segment` had before it, which was kept itself already."""
    rows = [*inputs.files.items(), (CONTACTS, inputs.contacts_at.isoformat())]
    lake.write(pl.DataFrame(rows, SCHEMA, orient="row"), ASSET, segment)


def remembered_inputs(lake: Lake, segment: str) -> Inputs | None:
    """None if `segment` was not evaluated yet."""
    if not lake.exists(ASSET, segment):
        return None
    stamps = dict(lake.read(ASSET, segment).rows())
    return Inputs(stamps, datetime.fromisoformat(stamps.pop(CONTACTS)))


def touched(connection: sa.Connection, lake: Lake, before: Inputs, now: Inputs) -> pl.Series | None:
    """contact_id (String, each once, sorted): who has new events or was changed since `before`.

    None if that cannot be told, because files of events are gone: everybody must be looked at.
    """
    if before.files.keys() - now.files.keys():
        return None
    new = [lake.path(*source.split("/", 1)) for source, stamp in now.files.items() if before.files.get(source) != stamp]
    found = [pl.scan_parquet(file, glob=False).select("contact_id").unique().collect() for file in new]
    found += [stream_frame(connection, query, ID) for query in _changed(before.contacts_at - MARGIN)]
    return pl.concat([pl.DataFrame(schema=ID), *found])["contact_id"].unique().sort()


def _changed(since: datetime) -> list[Query]:
    """Contacts whose row in the snapshot may have changed."""
    suppressed = sa.select(suppressions.c.address).where(suppressions.c.recorded_at >= since)
    return [
        sa.select(contacts.c.contact_id).where(contacts.c.updated_at >= since),
        sa.select(consents.c.contact_id).where(consents.c.recorded_at >= since),
        sa.select(contacts.c.contact_id).where(contacts.c.email.in_(suppressed)),
        sa.select(contacts.c.contact_id).where(contacts.c.phone.in_(suppressed)),
    ]
