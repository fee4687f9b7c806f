"""Working out the features of an event store, some hundred thousand contacts at a time."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from campaign_pipeline.segments.catalogue import CONTACTS, EVENTS
from campaign_pipeline.segments.features import DEPTH, LATEST, NUMBER, columns

MAX_NAMES = 40
"""The most frequent names of events have features; questions about the others read the events."""

CELLS = 30_000_000
EVENTS_AT_ONCE = 8_000_000
"""About so many features, and events, are in memory at once."""

BLOCK = 10_000
"""Contacts are taken together in whole blocks of this many."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000  # in microseconds


def write(connection: duckdb.DuckDBPyConnection, snapshot: str) -> None:
    """Write `contact_snapshot` (from the Parquet file `snapshot`), `event_names` and `origin` anew."""
    start, names = _name_events(connection)
    connection.execute(f"DROP TABLE IF EXISTS {CONTACTS}")
    people = _rows(connection, "SELECT count(*) FROM people")[0][0]
    for number, (low, high) in enumerate([(0, 0), *_pieces(connection, people, len(names))]):
        features = _features(connection, names, start, low, high)
        connection.register("features", features)
        into = f"INSERT INTO {CONTACTS}" if number else f"CREATE TABLE {CONTACTS} AS"
        connection.execute(f"{into} {_PIECE}", {"low": low, "high": high, "snapshot": snapshot})
        connection.unregister("features")


_PIECE = f"""
WITH piece AS (SELECT * FROM people WHERE "{NUMBER}" >= $low AND "{NUMBER}" < $high)
SELECT features.*, contacts.*
FROM (
    SELECT * FROM read_parquet($snapshot)
    WHERE contact_id >= (SELECT min(contact_id) FROM piece) AND contact_id <= (SELECT max(contact_id) FROM piece)
) AS contacts
JOIN piece USING (contact_id) JOIN features ON features."{NUMBER}" = piece."{NUMBER}"
ORDER BY piece."{NUMBER}"
"""


def read(connection: duckdb.DuckDBPyConnection, database: str) -> tuple[datetime, dict[str, tuple[int, datetime]]]:
    """(start, events) of Features, as they are in the attached store `database`."""
    ((start,),) = _rows(connection, f"SELECT start_second FROM {database}.origin")
    rows = _rows(connection, f"SELECT event, number, latest_us FROM {database}.event_names")
    events = {event: (number, EPOCH + timedelta(microseconds=latest)) for event, number, latest in rows}
    return EPOCH + timedelta(seconds=start), events


def _name_events(connection: duckdb.DuckDBPyConnection) -> tuple[int, list[str]]:
    """The second (since 1970) that is 0, and the names that have features, by number; as written to the store."""
    first, last = _rows(connection, f"SELECT min(epoch_us(occurred_at)), max(epoch_us(occurred_at)) FROM {EVENTS}")[0]
    start = (first or 0) // SECOND - 1
    fits = first is not None and last // SECOND - start <= LATEST
    connection.execute("CREATE OR REPLACE TABLE origin AS SELECT $start::BIGINT AS start_second", {"start": start})
    connection.execute(
        "CREATE OR REPLACE TABLE event_names AS"
        " SELECT event, (row_number() OVER (ORDER BY count(*) DESC, event) - 1)::INTEGER AS number,"
        f" max(epoch_us(occurred_at)) AS latest_us FROM {EVENTS} GROUP BY event QUALIFY number < $limit",
        {"limit": MAX_NAMES if fits else 0},
    )
    return start, [name for (name,) in _rows(connection, "SELECT event FROM event_names ORDER BY number")]


def _pieces(connection: duckdb.DuckDBPyConnection, people: int, names: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges of contacts' numbers, each with a bounded number of contacts and (in whole blocks) events."""
    most = max(1, CELLS // (names * len(columns(0)) + 20) // BLOCK)
    query = f'SELECT "{NUMBER}" // {BLOCK} AS block, count(*) FROM {EVENTS} GROUP BY block'
    events: dict[int, int] = dict(_rows(connection, query))
    low = found = 0
    blocks = -(-people // BLOCK)
    for block in range(blocks):
        found += events.get(block, 0)
        if block + 1 - low == most or found + events.get(block + 1, 0) > EVENTS_AT_ONCE or block + 1 == blocks:
            yield low * BLOCK, (block + 1) * BLOCK
            low, found = block + 1, 0


def _features(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], start: int, low: int, high: int
) -> pl.DataFrame:
    """NUMBER from `low` until before `high`, and the features of these."""
    query = (
        f'SELECT "{NUMBER}" - $low AS who, list_position($names, event) - 1 AS what,'
        f" (epoch_us(occurred_at) - $start) // {SECOND} AS seconds"
        f' FROM {EVENTS} WHERE "{NUMBER}" >= $low AND "{NUMBER}" < $high AND list_contains($names, event)'
    )
    values = {"low": low, "high": high, "names": list(names), "start": start * SECOND}
    found = connection.execute(query, values).fetchnumpy()
    # One number for each event: what sorts first by contact, then by name, then by time.
    packed = found["who"].astype(np.int64) * max(len(names), 1) + found["what"].astype(np.int64) << 32
    packed |= found["seconds"].astype(np.int64)
    del found
    packed.sort()
    group, seconds = packed >> 32, (packed & LATEST).astype(np.uint32)
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    ends = np.append(begins[1:], len(group))
    frame = {NUMBER: np.arange(low, high, dtype=np.int32)}
    for number in range(len(names)):
        own = group[begins] % len(names) == number
        who = group[begins[own]] // len(names)
        frame |= dict(zip(columns(number), _of_name(who, begins[own], ends[own], seconds, high - low), strict=True))
    return pl.DataFrame(frame)


Times = npt.NDArray[np.uint32]
Indexes = npt.NDArray[np.intp]


def _of_name(who: npt.NDArray[np.int64], begins: Indexes, ends: Indexes, seconds: Times, size: int) -> list[Times]:
    """The features of one name, each for `size` contacts: `who` has the ascending times from begins to before ends."""

    def placed(values: npt.NDArray[np.integer], at: npt.NDArray[np.int64]) -> Times:
        column = np.zeros(size, dtype=np.uint32)
        column[at] = values
        return column

    result = [placed(ends - begins, who), placed(seconds[begins], who)]
    for back in range(1, DEPTH + 1):
        enough = ends - begins >= back
        result.append(placed(seconds[ends[enough] - back], who[enough]))
    return result


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()
