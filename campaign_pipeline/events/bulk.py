"""SendGrid's posts, many at a time: to the same rows as the reference parser, without an object for each event.

Only plain posts are read here: objects whose fields have the types that SendGrid documents. The fields become columns,
and DuckDB works out the rest. All other posts are for the reference, providers/sendgrid.py, one by one.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import duckdb
import orjson
import polars as pl

from campaign_pipeline.core.ids import RUN_ID
from campaign_pipeline.core.paths import SQL_DIR
from campaign_pipeline.core.words import Channel, EventType, SuppressionReason
from campaign_pipeline.events.event import MESSAGE_ID, Event
from campaign_pipeline.events.networks import with_network
from campaign_pipeline.events.normalise import WORKING
from campaign_pipeline.events.providers import sendgrid
from campaign_pipeline.events.record import Record

Located = tuple[int, Record]
"""(position in the inbox file, record)"""

TEXTS = (
    *("event", "run_id", "message_id", "sg_message_id", "sg_event_id", "url", "status", "type", "reason", "attempt"),
    *("email", "useragent", "ip"),
)
"""Fields that are read and hold text, or are not there."""

LATEST = 10**11
"""Seconds since 1970 that every clock and table can hold; later ones are for the reference."""

_TEXT = frozenset({str, type(None)})
_FIELDS = (*TEXTS, "timestamp", "sg_machine_open")


class Bulk(NamedTuple):
    rows: pl.DataFrame  # columns normalise.WORKING, in the order of posts and items
    others: list[Located]  # what is for the reference parsers


def read_posts(records: Sequence[Located]) -> Bulk:
    """The events of all plain SendGrid posts among `records`, and the records that are left, in their order."""
    columns: dict[str, list[Any]] = {name: [] for name in _FIELDS}
    owners: list[int] = []  # of each item, the number of its record
    taken: list[int] = []
    for number, (_, record) in enumerate(records):
        items = _items(record) if (record.provider, record.kind) == ("sendgrid", "events") else None
        if items is None:
            continue
        fields = [item.get for item in items]
        for name, values in columns.items():
            values += [field(name) for field in fields]
        owners += [number] * len(items)
        taken.append(number)
    if odd := _odd(columns, owners):
        plain = [records[number] for number in taken if number not in odd]
        left = {*range(len(records))} - ({*taken} - odd)
        return Bulk(read_posts(plain).rows, [records[number] for number in sorted(left)])
    left = {*range(len(records))} - {*taken}
    others = [records[number] for number in sorted(left)]
    if not owners:
        return Bulk(pl.DataFrame(schema=WORKING), others)
    received = pl.Series([record.received_at for _, record in records], dtype=pl.Datetime("us", "UTC"))
    fields = pl.DataFrame([pl.Series(name, columns[name], dtype=pl.String) for name in TEXTS]).with_columns(
        pl.Series("timestamp", columns["timestamp"], dtype=pl.Int64),
        pl.Series("machine", [said is True for said in columns["sg_machine_open"]], dtype=pl.Boolean),
        received.gather(owners).alias("received_at"),
        row_no=pl.int_range(len(owners)),
    )
    return Bulk(_rows(fields), others)


def events_of(rows: pl.DataFrame) -> list[Event]:
    """Rows (columns WORKING) as events, for what follows from them."""
    return [_event(row) for row in rows.drop("network").iter_rows(named=True)]


def _event(row: dict[str, Any]) -> Event:
    suppress = SuppressionReason(row["suppress"]) if row["suppress"] else None
    row |= {"channel": Channel(row["channel"]), "type": EventType(row["type"]), "suppress": suppress}
    return Event(**row, identity=())


def _items(record: Record) -> list[dict[str, Any]] | None:
    """The objects of the post; None if it is anything but an array of objects."""
    try:
        found: Any = orjson.loads(record.body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, list) and set(map(type, found)) <= {dict} else None


def _odd(columns: Mapping[str, Sequence[Any]], owners: Sequence[int]) -> set[int]:
    """The posts with an item that is not plain: all fields of one are looked at only where one is."""
    seconds = columns["timestamp"]
    if (
        all(_TEXT.issuperset(map(type, columns[name])) for name in TEXTS)
        and all(columns["event"])
        and all(type(value) is int and 0 <= value < LATEST for value in seconds)
    ):
        return set()
    odd = {owner for owner, value in zip(owners, columns["event"], strict=True) if not value}
    odd |= {owner for owner, at in zip(owners, seconds, strict=True) if type(at) is not int or not 0 <= at < LATEST}
    for name in TEXTS:
        odd |= {owner for owner, value in zip(owners, columns[name], strict=True) if type(value) not in _TEXT}
    return odd


def _rows(fields: pl.DataFrame) -> pl.DataFrame:
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("fields", fields)
        connection.register("meanings", _meanings())
        rows = connection.sql(_query(), params=_params()).pl()
    return with_network(rows.sort("row_no")).select(*WORKING).cast(WORKING)  # pyright: ignore[reportArgumentType]


@cache
def _query() -> str:
    return (SQL_DIR / "events" / "sendgrid_events.sql").read_text(encoding="utf-8")


def _meanings() -> pl.DataFrame:
    rows = [(raw_type, kind, sendgrid.CONSENT.get(raw_type)) for raw_type, kind in sendgrid.TYPES.items()]
    return pl.DataFrame(rows, schema=dict.fromkeys(("raw_type", "type", "suppress"), pl.String), orient="row")


def _params() -> dict[str, Any]:
    """What the reference parser knows by heart."""
    return {
        "run_id": RUN_ID.pattern.replace("?P<campaign>", "").replace("?P<stamp>", ""),
        "message_id": MESSAGE_ID.pattern,
        "readers": [kind.value for kind in sendgrid.HAVE_READERS],
        "bounce_classes": _map(sendgrid.BOUNCE_CLASSES),
        "bounces": _map(sendgrid.BOUNCES),
        "drop_classes": _map({detail: kind for detail, (kind, _) in sendgrid.DROP_CLASSES.items()}),
        "drops": _map({detail: reason for detail, (_, reason) in sendgrid.DROP_CLASSES.items()}),
    }


def _map(values: Mapping[str, str]) -> dict[str, list[str]]:
    """As DuckDB takes a MAP; a dict would be a STRUCT."""
    return {"key": list(values), "value": [str(value) for value in values.values()]}
