"""The contact snapshot: contacts, whom consent and suppression let us reach, their lists, tags and attributes, in one
Parquet file, which segments read.

Taken again, only what changed is read. Whatever way changes came and in whatever order they were committed:

- Contacts: id and `updated_at` of all are compared with the last snapshot's. A contact is read again if they differ,
  or if it was stamped at the last snapshot's moment or after it (a clock that stands, or was put back). Comparing is
  what makes it safe: a long transaction stamps its rows when it begins, so that a high-water mark would pass them by.
- Lists and tags: with the contact, whose `updated_at` every change of them touches.
- Consent: entries after the highest `consent_id` that was seen, as long as there are as many before it as there were;
  else (entries committed out of order, or erased) all of them.
- Suppressions, which also end by themselves: all.

The whole is read if that is less work, or if the marker or the catalogue of attributes does not fit, or an attribute
is not in the catalogue: its type is a matter of all its values. The result is always that of reading the whole.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl
import sqlalchemy as sa
from pydantic import SecretStr

from campaign_pipeline.contacts.addresses import ADDRESS_COLUMN
from campaign_pipeline.contacts.attributes import known_attributes
from campaign_pipeline.contacts.snapshot_marker import ASSET, FORMAT, Marker, read_marker, snapshot_age
from campaign_pipeline.contacts.snapshot_read import (
    FIELDS,
    Rows,
    consented_since,
    consents_up_to,
    granted,
    memberships,
    read_rows,
    versions,
)
from campaign_pipeline.contacts.suppression import active_suppressions, erased_among
from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.clock import utc_now
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import Channel

__all__ = [
    "ASSET",
    "DERIVED",
    "FIELDS",
    "Refreshed",
    "read_snapshot",
    "refresh_snapshot",
    "snapshot_age",
    "write_snapshot",
]

CONSENT = [f"consent_{channel}" for channel in Channel]
REACHABLE = [f"reachable_{channel}" for channel in Channel]
DERIVED: dict[str, pl.DataType] = {
    **dict.fromkeys([*CONSENT, *REACHABLE], pl.Boolean()),
    "lists": pl.List(pl.String()),
    "tags": pl.List(pl.String()),
}
"""The columns between FIELDS and the attributes."""

MOST_CHANGED = 0.25
"""The share of contacts above which reading them all is faster than reading the changed ones by their ids."""

_RESERVED = frozenset({*FIELDS, *DERIVED})


@dataclass(frozen=True)
class Refreshed:
    """A snapshot and how it came about.

    `why_full`: why everything was read; empty if it was not. `read`: contacts that were read. `added`, `changed` (with
    another `updated_at`), `removed`: contacts against the snapshot before. `misfits`: values that are not of their
    attribute's declared type, by attribute, among the contacts that were read; they are null.
    """

    frame: pl.DataFrame
    why_full: str
    read: int
    added: int
    changed: int
    removed: int
    misfits: dict[str, int]


class _ReadAll(Exception):
    """The snapshot cannot, or need not, build on the last one; the message says why."""


def write_snapshot(
    engine: sa.Engine, lake: Lake, now: datetime | None = None, *, secret: SecretStr | None = None
) -> pl.DataFrame:
    """Write the contacts of now as `contact_snapshot`, sorted by contact_id, and return them.

    Columns: FIELDS; DERIVED: consent_<channel> (the newest marketing consent is granted), reachable_<channel> (that,
    and a valid address that is not suppressed), lists and tags (sorted, never null); then, sorted by name, one column
    an attribute, as its declared type says, or as its values say (see snapshot_attributes).
    `secret`: the key of erased addresses' hashes; without it these count as reachable, until the freeze finds them.
    """
    return refresh_snapshot(engine, lake, now, secret=secret).frame


def refresh_snapshot(
    engine: sa.Engine,
    lake: Lake,
    now: datetime | None = None,
    *,
    secret: SecretStr | None = None,
    full: bool = False,
) -> Refreshed:
    """As write_snapshot, with how it came about. `now` is the snapshot's time; `full`: read everything in any case."""
    now = now or utc_now()
    marker = read_marker(lake)
    last = lake.read(ASSET) if marker else None
    with reading(engine) as connection:
        declared = known_attributes(connection)
        seen = consents_up_to(connection)  # before anything else: what is entered meanwhile is read again next time
        why_full = "asked for" if full else ""
        try:
            if full or last is None or marker is None:
                raise _ReadAll("asked for" if full else "there is no snapshot to build on")
            rows, kept = _changes(connection, last, marker, declared)
        except _ReadAll as reason:
            rows, kept, why_full = _rows(connection, declared), None, str(reason)
        frame = rows.frame if kept is None else pl.concat([kept, rows.frame])
        frame = _with_reach(connection, frame.sort("contact_id"), now, secret)
    attributes = sorted(set(frame.columns) - _RESERVED)
    frame = frame.select(*FIELDS, *DERIVED, *attributes)
    marker = Marker(taken_at=now, incremental=not rows.undeclared, attributes=declared, consents=seen)
    lake.write(frame, ASSET, metadata=marker.metadata())
    added, changed, removed = _difference(last, frame)
    return Refreshed(frame, why_full, rows.frame.height, added, changed, removed, rows.misfits)


def read_snapshot(lake: Lake) -> pl.DataFrame:
    """The newest snapshot; NotFound if there is none."""
    return lake.read(ASSET)


def _changes(
    connection: sa.Connection, last: pl.DataFrame, marker: Marker, declared: dict[str, ValueType]
) -> tuple[Rows, pl.DataFrame]:
    """(the contacts to put in, read anew; the others of the last snapshot)."""
    if marker.format != FORMAT or marker.attributes != declared:
        raise _ReadAll("the columns or attributes are not those of the last snapshot")
    if not marker.incremental:
        raise _ReadAll("the last snapshot has attributes that are not declared, or contacts were erased from it")
    last_consent, count = marker.consents
    if consents_up_to(connection, last_consent)[1] != count:
        raise _ReadAll("entries of consent were committed out of order, or erased")
    now_there = versions(connection)
    same = last.lazy().select("contact_id", "updated_at").filter(pl.col("updated_at") < marker.taken_at).collect()
    again = now_there.join(same, on=["contact_id", "updated_at"], how="anti").get_column("contact_id")
    said = consented_since(connection, last_consent)
    ids = pl.concat([again, said.filter(said.is_in(now_there.get_column("contact_id").implode()))]).unique()
    if len(ids) > MOST_CHANGED * last.height:
        raise _ReadAll(f"{len(ids)} contacts changed, of {last.height}")
    rows = _rows(connection, declared, ids)
    kept = last.join(now_there, on="contact_id", how="semi").filter(~pl.col("contact_id").is_in(ids.implode()))
    kept = kept.drop(REACHABLE)
    if set(rows.frame.columns) != set(kept.columns):
        raise _ReadAll(f"attributes are not declared: {', '.join(sorted(rows.undeclared))}")
    return rows, kept.select(rows.frame.columns)


def _rows(connection: sa.Connection, declared: dict[str, ValueType], ids: pl.Series | None = None) -> Rows:
    """The contacts of `ids`, or all, with their consent, lists and tags."""
    rows = read_rows(connection, declared, _RESERVED, ids)
    grants = granted(connection, ids)
    frame = rows.frame.join(memberships(connection, ids), on="contact_id", how="left")
    consented = {
        name: pl.col("contact_id").is_in(grants.filter(channel=channel).get_column("contact_id").implode())
        for name, channel in zip(CONSENT, Channel, strict=True)
    }
    return replace(rows, frame=frame.with_columns(pl.col("lists", "tags").fill_null([]), **consented))


def _with_reach(
    connection: sa.Connection, frame: pl.DataFrame, now: datetime, secret: SecretStr | None
) -> pl.DataFrame:
    erased = pl.Series(dtype=pl.String)
    if secret is not None:
        addresses = pl.concat([frame.get_column(name) for name in sorted(set(ADDRESS_COLUMN.values()))])
        erased = erased_among(connection, addresses, secret).get_column("address")
    for name, channel in zip(REACHABLE, Channel, strict=True):
        suppressed = active_suppressions(connection, channel, at=now).get_column("address").append(erased)
        address = pl.col(ADDRESS_COLUMN[channel])
        may = pl.col(f"consent_{channel}") & address.is_not_null() & ~address.is_in(suppressed.implode())
        frame = frame.with_columns(may.fill_null(value=False).alias(name))
    return frame


def _difference(last: pl.DataFrame | None, frame: pl.DataFrame) -> tuple[int, int, int]:
    """Contacts that are new, that have another `updated_at`, and that are gone."""
    if last is None:
        return frame.height, 0, 0
    versions = ["contact_id", "updated_at"]
    both = frame.join(last, on="contact_id", how="semi").height
    same = frame.join(last, on=versions, how="semi").height if "updated_at" in last.columns else both
    return frame.height - both, both - same, last.height - both
