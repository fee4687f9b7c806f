"""SendGrid's posts, many at a time: to the same rows as the reference parser, without an object for each event.

Only plain posts are read here: objects whose fields have the types that SendGrid documents. The fields become columns,
and DuckDB works out the rest. All other posts are for the reference, providers/sendgrid.py, one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, cast

import duckdb
import numpy as np
import orjson
import polars as pl
import pyarrow as pa

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

_SHAPE = pa.struct([pa.field(name, pa.string()) for name in TEXTS])


class Bulk(NamedTuple):
    rows: pl.DataFrame  # columns normalise.WORKING, in the order of posts and items
    others: list[Located]  # what is for the reference parsers


@dataclass(frozen=True, slots=True)
class _Post:
    received_at: datetime
    texts: pa.StructArray  # of TEXTS
    seconds: list[int]
    machine: list[bool]


def read_posts(records: Sequence[Located]) -> Bulk:
    """The events of all plain SendGrid posts among `records`, and the records that are left, in their order."""
    posts: list[_Post] = []
    others: list[Located] = []
    for located in records:
        post = _read(located[1])
        if post is None:
            others.append(located)
        else:
            posts.append(post)
    return Bulk(_rows(posts) if posts else pl.DataFrame(schema=WORKING), others)


def events_of(rows: pl.DataFrame) -> list[Event]:
    """Rows (columns WORKING) as events, for what follows from them."""
    return [_event(row) for row in rows.drop("network").iter_rows(named=True)]


def _event(row: dict[str, Any]) -> Event:
    suppress = SuppressionReason(row["suppress"]) if row["suppress"] else None
    row |= {"channel": Channel(row["channel"]), "type": EventType(row["type"]), "suppress": suppress}
    return Event(**row, identity=())


def _read(record: Record) -> _Post | None:
    """None for what is no post of SendGrid's, or no plain one."""
    if (record.provider, record.kind) != ("sendgrid", "events"):
        return None
    try:
        items: Any = orjson.loads(record.body)
        if not isinstance(items, list) or set(map(type, cast("list[Any]", items))) != {dict}:
            return None
        fields = cast("list[dict[str, Any]]", items)
        seconds: list[Any] = [item.get("timestamp") for item in fields]
        if set(map(type, seconds)) != {int} or min(seconds) < 0 or max(seconds) >= LATEST:
            return None
        if not all(item.get("event") for item in fields):
            return None
        texts = pa.array(fields, _SHAPE)
    except (orjson.JSONDecodeError, pa.ArrowInvalid, pa.ArrowTypeError):  # a field is of another type
        return None
    return _Post(record.received_at, texts, seconds, [item.get("sg_machine_open") is True for item in fields])


def _rows(posts: Sequence[_Post]) -> pl.DataFrame:
    texts = pl.from_arrow(pa.chunked_array([post.texts for post in posts]))
    assert isinstance(texts, pl.Series)
    lengths = [len(post.seconds) for post in posts]
    received = pl.Series([post.received_at for post in posts], dtype=pl.Datetime("us", "UTC"))
    fields = texts.struct.unnest().with_columns(
        pl.Series("timestamp", [second for post in posts for second in post.seconds], dtype=pl.Int64),
        pl.Series("machine", [said for post in posts for said in post.machine], dtype=pl.Boolean),
        received.gather(np.repeat(np.arange(len(posts)), lengths)).alias("received_at"),
        row_no=pl.int_range(sum(lengths)),
    )
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
