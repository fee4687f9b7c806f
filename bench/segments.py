"""Segments: milliseconds of a preview and of the members, on a lake of made-up contacts and purchases.

Baseline: SQLite answers the same question, by hand-written SQL, on tables with the indexes that it needs and with the
amount as a column (ours reads it out of JSON).
"""

import sqlite3
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from common import arguments, installation, progress, show, timed, typical

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import read_catalogue
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.evaluate import members, preview

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
REPEATS = 5
SEGMENT = Segment.model_validate(
    {
        "segment": "bench",
        "where": {
            "all": [
                {"trait": {"field": "tier", "in": ["gold", "silver"]}},
                {"did": {"event": "purchase", "count": {"gte": 2}, "sum": {"prop": "amount", "gte": 100}}},
                {"not": {"did": {"event": "purchase", "within": "14d"}}},
            ]
        },
    }
)
CONDITIONS = {
    "tier": "tier IN ('gold', 'silver')",
    "bought": "contact_id IN (SELECT contact_id FROM events WHERE event = 'purchase' AND occurred_at < :now"
    " GROUP BY contact_id HAVING count(*) >= 2 AND sum(amount) >= 100)",
    "lapsed": "contact_id NOT IN (SELECT contact_id FROM events WHERE event = 'purchase'"
    " AND occurred_at >= :recent AND occurred_at < :now)",
}
MEMBERS = f"SELECT contact_id FROM contacts WHERE {' AND '.join(CONDITIONS.values())} ORDER BY contact_id"
PREVIEW = (
    f"WITH leaves AS MATERIALIZED (SELECT {', '.join(f'{text} AS {name}' for name, text in CONDITIONS.items())}"
    " FROM contacts) SELECT count(*), sum(tier), sum(bought), sum(lapsed), sum(tier AND bought),"
    " sum(tier AND bought AND lapsed) FROM leaves"
)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    given = parser.parse_args()
    contacts, events = (5_000, 50_000) if given.small else (given.contacts, given.events)
    with installation() as opened, progress("segments") as told:
        told(0, 4)
        lake = opened.lake
        people, happened = made_up(contacts, events)
        lake.write(people, "contact_snapshot")
        properties = pl.concat_str(pl.lit('{"amount": '), "amount", pl.lit("}")).alias("properties")
        lake.write(happened.select("event_id", "contact_id", "event", "occurred_at", properties), "behaviour", "bench")
        told(1, 4)
        figures, found = ours(lake)
        told(2, 4)
        with sqlite3.connect(opened.settings.data_dir / "baseline.db") as database:
            fill(database, people, happened)
            told(3, 4)
            baseline, expected = plain(database)
        database.close()
    assert found == expected, f"{found} contacts, but SQLite finds {expected}"
    show(
        "segments",
        figures,
        baseline,
        f"SQLite {sqlite3.sqlite_version}, indexed, the same question in SQL",
        target={"preview_ms": 150, "members_ms": 2000, "contacts": 10_000_000, "events": 100_000_000},
        setup={"contacts": contacts, "events": events, "members": found, "repeats": REPEATS},
        less_is_better=True,
    )


def made_up(contacts: int, events: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """contact_id, tier, country; and event_id, contact_id, event, occurred_at, amount, sorted by time."""
    draw = np.random.default_rng(7)
    names = np.array([f"{number:024x}" for number in range(contacts)])
    people = pl.DataFrame(
        {
            "contact_id": names,
            "tier": draw.choice(["gold", "silver", "bronze"], contacts, p=[0.1, 0.3, 0.6]),
            "country": draw.choice(["DE", "US", "AT", "FR"], contacts),
        }
    )
    start = np.datetime64(int(AS_OF.timestamp()) - 365 * 86_400, "s")
    moments = (start + np.sort(draw.integers(0, 365 * 86_400, events))).astype("datetime64[us]")
    happened = pl.DataFrame(
        {
            "event_id": np.arange(events),
            "contact_id": names[draw.integers(0, contacts, events)],
            "event": draw.choice(["purchase", "visit"], events, p=[0.3, 0.7]),
            "occurred_at": pl.Series(moments).dt.replace_time_zone("UTC"),
            "amount": draw.integers(500, 20_000, events) / 100,
        }
    )
    return people, happened


def ours(lake: Lake) -> tuple[dict[str, float], int]:
    """Milliseconds, and the number of members."""
    catalogue, seconds = timed(lambda: read_catalogue(lake))
    previewed = typical(lambda: preview(lake, SEGMENT, {}, AS_OF, catalogue), REPEATS)
    listed = typical(lambda: members(lake, SEGMENT, {}, AS_OF, catalogue), REPEATS)
    found = members(lake, SEGMENT, {}, AS_OF, catalogue).height
    assert preview(lake, SEGMENT, {}, AS_OF, catalogue).count == found
    return {"preview_ms": previewed * 1e3, "members_ms": listed * 1e3, "catalogue_ms": seconds * 1e3}, found


def fill(database: sqlite3.Connection, people: pl.DataFrame, happened: pl.DataFrame) -> None:
    """The baseline's tables; not timed. Times are seconds, the index covers every question."""
    database.execute("CREATE TABLE contacts (contact_id TEXT PRIMARY KEY, tier TEXT, country TEXT) WITHOUT ROWID")
    database.executemany("INSERT INTO contacts VALUES (?, ?, ?)", people.iter_rows())
    database.execute("CREATE TABLE events (contact_id TEXT, event TEXT, occurred_at INTEGER, amount REAL)")
    rows = happened.select("contact_id", "event", pl.col("occurred_at").dt.epoch("s"), "amount").iter_rows()
    database.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
    database.execute("CREATE INDEX of_contact ON events (event, contact_id, occurred_at, amount)")
    database.execute("CREATE INDEX of_time ON events (event, occurred_at, contact_id)")
    database.execute("ANALYZE")


def plain(database: sqlite3.Connection) -> tuple[dict[str, float], int]:
    moments = {"now": int(AS_OF.timestamp()), "recent": int((AS_OF - timedelta(days=14)).timestamp())}
    previewed = typical(lambda: database.execute(PREVIEW, moments).fetchall(), REPEATS)
    listed = typical(lambda: database.execute(MEMBERS, moments).fetchall(), REPEATS)
    found = len(database.execute(MEMBERS, moments).fetchall())
    return {"preview_ms": previewed * 1e3, "members_ms": listed * 1e3}, found


if __name__ == "__main__":
    main()
