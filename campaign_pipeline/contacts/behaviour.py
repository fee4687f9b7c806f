"""What contacts did, such as purchases: files of events into the lake, one Parquet file an import."""

from pathlib import Path

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.imports import (
    ImportResult,
    find_import,
    first_rejects,
    import_id,
    one_at_a_time,
    record_import,
)
from campaign_pipeline.contacts.mapping import EventMapping
from campaign_pipeline.contacts.queries import frame_for_keys
from campaign_pipeline.contacts.rejects import write_rejects
from campaign_pipeline.contacts.sources import Source, as_source
from campaign_pipeline.contacts.sources.table import LINE, Table
from campaign_pipeline.contacts.values import TIME, ValueType, clean, contact_ids, infer_type, moments, typed
from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import digest
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import contacts

ASSET = "behaviour"
SCHEMA = {
    "event_id": pl.String,
    "contact_id": pl.String,
    "event": pl.String,
    "occurred_at": TIME,
    "properties": pl.String,
}
"""Columns of lake asset `behaviour`; `properties` is a JSON object, a property without a value is null."""


def import_events(
    engine: sa.Engine,
    lake: Lake,
    source: Path | Source,
    mapping: EventMapping,
    *,
    clock: Clock,
    rejects_path: Path,
    dry_run: bool = False,
) -> ImportResult:
    """Take in the events of `source` as `behaviour/<import_id>`, sorted by occurred_at.

    Rejected are rows without contact, event name, time or (if mapped) id, with a property that is not of its given
    type, or with the id of another event of the source. Events of contacts that are not imported (yet) are kept; the
    warning `unknown_contacts` counts those contacts. With an id, an event of the same name and id that is in the source
    or the lake already is `repeated`; without, rows equal to the letter are events of their own.
    The same rows with the same mapping again, under whatever name, add nothing. `dry_run`: the same result, and nothing
    is written. InvalidInput: a database's rows have no order, so that they need an id.
    """
    given = as_source(source)
    if mapping.id is None and not given.ordered:
        raise InvalidInput(
            f"{given.name}: rows of a database have no order, so that events are known by an id only",
            "Map the column that tells one event from another: id=column.",
        )
    identity = import_id("events", given, mapping)
    with reading(engine) as connection:
        if done := find_import(connection, identity):
            return done
    table = given.read()
    events, reasons, types = _events(table, mapping, identity)
    distinct = events
    if mapping.id is not None:
        distinct, contradicting = _one_row_an_event(events)
        reasons |= contradicting
    rejects = table.rejects + table.reject(reasons)

    def result(connection: sa.Connection, new: pl.DataFrame, written: Path | None) -> ImportResult:
        unknown = _unknown_contacts(connection, new["contact_id"])
        return ImportResult(
            identity,
            read=table.read,
            new=len(new),
            repeated=table.read - len(rejects) - len(new),
            rejected=len(rejects),
            rejects_path=written,
            dry_run=dry_run,
            warnings=dict(table.warnings) | ({"unknown_contacts": unknown} if unknown else {}),
            types=types,
            first_rejects=first_rejects(rejects),
        )

    if dry_run:
        with reading(engine) as connection:
            return result(connection, _news(lake, distinct, mapping, identity), None)
    with writing(engine) as connection:
        one_at_a_time(connection)
        if done := find_import(connection, identity):
            return done
        new = _news(lake, distinct, mapping, identity)
        taken = result(connection, new, write_rejects(rejects_path, rejects))
        record_import(connection, "events", given, taken, clock())
        # Before the commit: after a crash in between, importing again writes the same file once more.
        lake.write(new.sort("occurred_at", LINE).select(*SCHEMA), ASSET, identity)
    return taken


def _news(lake: Lake, events: pl.DataFrame, mapping: EventMapping, identity: str) -> pl.DataFrame:
    return events if mapping.id is None else _not_in_lake(lake, events, identity)


def _events(
    table: Table, mapping: EventMapping, identity: str
) -> tuple[pl.DataFrame, dict[int, str], dict[str, ValueType]]:
    """(LINE and SCHEMA's columns of the good rows, the reason by line of the others, the properties' types)."""
    rows = table.rows
    chosen = mapping.property_columns(table.columns)
    properties: list[pl.Series] = []
    types: dict[str, ValueType] = {}
    broken = [pl.Series([], dtype=pl.String).extend_constant(None, len(rows))]

    def require(good: pl.Series, reason: str) -> None:
        broken[0] = broken[0].set(broken[0].is_null() & ~good, reason)

    contact = contact_ids(clean(rows[mapping.contact]))
    require(contact.is_not_null(), "has no contact")
    if mapping.event_column is not None:
        event = clean(rows[mapping.event_column])
        require(event.is_not_null(), "has no event name")
    else:
        event = pl.Series([mapping.event], dtype=pl.String).new_from_index(0, len(rows))
    at = moments(clean(rows[mapping.at]), mapping.at_format, mapping.time_zone)
    require(at.is_not_null(), f"{mapping.at} is missing or not a time")
    own_id = clean(rows[mapping.id]) if mapping.id is not None else None
    if own_id is not None:
        require(own_id.is_not_null(), "has no id")
    for name, column in chosen.items():
        text = clean(rows[column])
        types[name] = value_type = mapping.types.get(name) or table.types.get(column) or infer_type(text)
        value = typed(text, value_type, mapping.formats.get(name))
        require(text.is_null() | value.is_not_null(), f"{column} is not of type {value_type}")
        properties.append(value.rename(name))

    frame = pl.DataFrame(
        [
            rows[LINE],
            contact.rename("contact_id"),
            event.rename("event"),
            at.rename("occurred_at"),
            _as_json(properties, len(rows)),
            (rows[LINE].cast(pl.String) if own_id is None else own_id).rename("own"),
            broken[0].rename("reason"),
        ]
    )
    reasons = dict(frame.drop_nulls("reason").select(LINE, "reason").iter_rows())
    good = frame.filter(pl.col("reason").is_null())
    if own_id is None:
        ids = [digest("event", identity, line) for line in good["own"]]
    else:
        ids = [digest("event", name, own) for name, own in good.select("event", "own").iter_rows()]
    events = good.with_columns(pl.Series("event_id", ids, dtype=pl.String)).select(LINE, *SCHEMA)
    return events, reasons, types


def _as_json(properties: list[pl.Series], rows: int) -> pl.Series:
    if not properties:
        return pl.Series("properties", ["{}"]).new_from_index(0, rows)
    return pl.DataFrame(properties).to_struct("properties").struct.json_encode()


def _one_row_an_event(events: pl.DataFrame) -> tuple[pl.DataFrame, dict[int, str]]:
    """(the first row of every event_id, the reason by line of rows with the same id and other content)."""
    distinct = events.unique(subset=list(SCHEMA), keep="first", maintain_order=True)
    first = distinct.with_columns(pl.col(LINE).min().over("event_id").alias("first"))
    counts = pl.col(LINE) == pl.col("first")
    others = first.filter(~counts).select(LINE, "first").iter_rows()
    reasons = {line: f"has the id of the event on line {earlier}, but says otherwise" for line, earlier in others}
    return first.filter(counts).drop("first"), reasons


def _not_in_lake(lake: Lake, events: pl.DataFrame, identity: str) -> pl.DataFrame:
    """The events that no other import has; what is left of a broken try of this one does not count."""
    others = [lake.path(ASSET, partition) for partition in lake.partitions(ASSET) if partition != identity]
    if not others:
        return events
    known = pl.scan_parquet(others).select("event_id").join(events.lazy().select("event_id"), on="event_id", how="semi")
    return events.join(known.collect(), on="event_id", how="anti")


def _unknown_contacts(connection: sa.Connection, ids: pl.Series) -> int:
    distinct = ids.unique()
    column = contacts.c.contact_id
    known = frame_for_keys(connection, sa.select(column), column, distinct, {"contact_id": pl.String})
    return len(distinct) - len(known)
