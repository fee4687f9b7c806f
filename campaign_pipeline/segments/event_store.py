"""The event store: contacts, what they did, and features of it, in one DuckDB file that segments read fast.

The snapshot and the behaviour files stay the truth. A store is named after their state, so that one that is older
is never read, only taken over by the next build, which reads no behaviour file a second time. A store is written under
a temporary name and renamed; it never changes after that. In it:

- `contact_snapshot`: the snapshot's columns, the contact's number, and the columns of `features`; sorted by number
- `behaviour`: number, event, occurred_at, properties; as in the files, import after import
- `people`: the number of everybody, who is in the snapshot or not
- `built_from`: the behaviour files that are in it; `seen_properties`: the events and properties that occur in them
- `event_names`: number and latest time of each event with features; `origin`: the time that is 0 in the features

It holds what the lake holds of people: whoever removes a person from there calls `drop_features`.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import duckdb

from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.ids import digest
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments import feature_rows
from campaign_pipeline.segments.catalogue import CONTACTS, EVENTS, Kind, SeenProperty, glob_literal, seen_properties
from campaign_pipeline.segments.features import NUMBER

ASSET = "segment_features"
FORMAT = "2"
"""Changes with what is in a store, so that those of another format are not read."""

MEMORY = "1GB"
AT_ONCE = 20_000_000
"""About so many events are read in one statement, so that a build is bounded in memory."""


@dataclass(frozen=True)
class Built:
    """What a build did. `events_added`: of the behaviour files that the store before had not."""

    path: Path
    contacts: int
    events: int
    events_added: int
    names_with_features: int


def current_store(lake: Lake) -> Path | None:
    """The store of the lake's present state, if it was built."""
    if not lake.exists(CONTACTS):
        return None
    path = _path(lake, lake_state(lake))
    return path if path.exists() else None


def build_features(lake: Lake) -> Built:
    """Build the store of the lake's present state, or find it built. NotFound without a contact snapshot.

    Refused if contacts or events change meanwhile, or the stores are dropped: build again.
    """
    if not lake.exists(CONTACTS):
        raise NotFound("there is no contact snapshot", "Materialise contact_snapshot first.")
    state = lake_state(lake)
    path = _path(lake, state)
    if path.exists():
        with duckdb.connect(str(path), read_only=True) as connection:
            return _built(connection, path, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        added = _write(lake, state, temporary)
        if lake_state(lake) != state:
            raise Refused("contacts or events changed while their features were built", "Build them again.")
        _rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        temporary.with_name(temporary.name + ".wal").unlink(missing_ok=True)
    for other in _stores(lake):
        if other != path:
            other.unlink(missing_ok=True)  # who reads it keeps it until done
    with duckdb.connect(str(path), read_only=True) as connection:
        return _built(connection, path, added)


def drop_features(lake: Lake) -> int:
    """Remove all stores, also one that is being built; how many files. Segments then read the plain files."""
    files = [path for path in (lake.root / ASSET).glob("*") if path.is_file()]
    files += [path for path in (lake.root / ASSET).glob(".*") if path.is_file()]
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)


State = dict[tuple[str, str], tuple[int, int]]
"""(asset, partition) -> (bytes, time of change in ns): another file, another state."""


def lake_state(lake: Lake) -> State:
    """The files of contacts and events as they are now."""
    files = [(CONTACTS, "all"), *((EVENTS, partition) for partition in lake.partitions(EVENTS))]
    stats = {key: lake.path(*key).stat() for key in files}
    return {key: (stat.st_size, stat.st_mtime_ns) for key, stat in stats.items()}


def _path(lake: Lake, state: State) -> Path:
    parts = [f"{asset}/{partition}:{size}:{changed}" for (asset, partition), (size, changed) in sorted(state.items())]
    return lake.root / ASSET / f"{digest(FORMAT, *parts)}.duckdb"


def _stores(lake: Lake) -> list[Path]:
    return [path for path in (lake.root / ASSET).glob("*.duckdb") if not path.name.startswith(".")]


def _rename(temporary: Path, path: Path) -> None:
    try:
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.rename(path)
    except FileNotFoundError:
        raise Refused("the features were dropped while they were built", "Build them again.") from None


def _write(lake: Lake, state: State, temporary: Path) -> int:
    """The store as `temporary`; the number of events that were read from the lake."""
    behaviour = {partition: stamp for (asset, partition), stamp in state.items() if asset == EVENTS}
    if before := _extendable(lake, behaviour):
        shutil.copyfile(before, temporary)
    with TemporaryDirectory(prefix="campaign-features-") as spill, duckdb.connect(str(temporary)) as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute("SET temp_directory = $folder", {"folder": spill})
        connection.execute("SET TimeZone = 'UTC'")
        if not before:
            _empty(connection)
        known = {row[0] for row in connection.execute("SELECT partition FROM built_from").fetchall()}
        snapshot = glob_literal(lake.path(CONTACTS))
        _number(connection, [snapshot])
        added = 0
        for batch in _batches(lake, sorted(behaviour.keys() - known)):
            files = [glob_literal(lake.path(EVENTS, partition)) for partition in batch]
            _number(connection, files)
            added += _scalar(connection, _INSERT_EVENTS, {"files": files})
            for partition in batch:
                _insert(connection, "built_from", [(partition, *behaviour[partition])])
                _insert(connection, "seen_properties", seen_properties(lake.path(EVENTS, partition)))
        feature_rows.write(connection, snapshot)
        connection.execute("CHECKPOINT")
    return added


def _extendable(lake: Lake, behaviour: dict[str, tuple[int, int]]) -> Path | None:
    """A store of an earlier state, all of whose behaviour files are still there unchanged."""
    for path in sorted(_stores(lake), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            with duckdb.connect(str(path), read_only=True) as connection:
                if connection.execute("SELECT * FROM format").fetchall() != [(FORMAT,)]:
                    continue
                rows = connection.execute("SELECT * FROM built_from").fetchall()
        except duckdb.Error:
            continue  # of another format, or of a newer DuckDB: built anew
        if all(behaviour.get(partition) == (size, changed) for partition, size, changed in rows):
            return path
    return None


_INSERT_EVENTS = f"""
INSERT INTO {EVENTS}
SELECT people."{NUMBER}", event, occurred_at, properties
FROM read_parquet($files) AS new JOIN people USING (contact_id)
"""


def _empty(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(f'CREATE TABLE people ("{NUMBER}" INTEGER, contact_id VARCHAR)')
    columns = f'"{NUMBER}" INTEGER, event VARCHAR, occurred_at TIMESTAMPTZ, properties VARCHAR'
    connection.execute(f"CREATE TABLE {EVENTS} ({columns})")
    connection.execute(f"CREATE TABLE format AS SELECT '{FORMAT}' AS format")
    connection.execute("CREATE TABLE seen_properties (event VARCHAR, property VARCHAR, kind VARCHAR)")
    connection.execute("CREATE TABLE built_from (partition VARCHAR, bytes BIGINT, changed BIGINT)")


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    if rows:
        connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)


def read_seen_properties(connection: duckdb.DuckDBPyConnection, database: str) -> list[SeenProperty]:
    """What occurs in the behaviour files of the attached store `database`, for the catalogue."""
    rows = connection.execute(f"SELECT DISTINCT event, property, kind FROM {database}.seen_properties").fetchall()
    return [(event, name, Kind(kind) if kind else None) for event, name, kind in rows]


def _number(connection: duckdb.DuckDBPyConnection, files: list[str]) -> None:
    """Give everybody in `files` who has none the next number, in the order of their ids."""
    first = _scalar(connection, "SELECT count(*) FROM people")
    connection.execute(
        "INSERT INTO people SELECT $first + row_number() OVER (ORDER BY contact_id) - 1, contact_id"
        " FROM (SELECT DISTINCT contact_id FROM read_parquet($files)) ANTI JOIN people USING (contact_id)"
        " ORDER BY contact_id",
        {"first": first, "files": files},
    )


def _batches(lake: Lake, partitions: list[str]) -> Iterator[list[str]]:
    """`partitions` in order, together until they have more than AT_ONCE events."""
    batch: list[str] = []
    rows = 0
    for partition in partitions:
        batch.append(partition)
        rows += _rows(lake.path(EVENTS, partition))
        if rows > AT_ONCE:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _rows(path: Path) -> int:
    with duckdb.connect() as connection:
        query = "SELECT sum(num_rows)::BIGINT FROM parquet_file_metadata($file)"
        return _scalar(connection, query, {"file": glob_literal(path)})


def _scalar(connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object] | None = None) -> int:
    ((value,),) = connection.execute(query, parameters).fetchall()
    return int(value or 0)


def _built(connection: duckdb.DuckDBPyConnection, path: Path, added: int) -> Built:
    tables = (CONTACTS, EVENTS, "event_names")
    contacts, events, names = (_scalar(connection, f"SELECT count(*) FROM {table}") for table in tables)
    return Built(path, contacts, events, added, names)
