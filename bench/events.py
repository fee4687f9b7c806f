"""Events: a second's worth of taking in SendGrid's posts, from files of the inbox to days without duplicates.

Events of about 415 bytes, 100 a post, over days of up to a million; some repeated, some late. `parse_events_per_s` is
the reading of posts alone, on one core. A late batch is 10,000 events of one day that is long over: `late_batch_s` with
all other days behind it, `late_batch_short_history_s` with one as large. `peak_memory_mb` is of taking in and
building. `take_in_events_per_s` leaves the building of days aside.

Baseline: for taking in, SQLite with a primary key on the event's id, each event read by orjson, INSERT OR IGNORE in
transactions of 10,000; for parsing, a Python loop that reads each post by orjson, passes over the ids that it has seen,
and counts by day and type. Both on a part of the same events.
"""

import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import orjson
from common import arguments, installation, progress, show, timed, usage

from campaign_pipeline.events.bulk import read_posts
from campaign_pipeline.events.days import build_day
from campaign_pipeline.events.inbox import FILE_BYTES
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.events.record import from_line, to_line
from campaign_pipeline.operations.installation import Installation

FIRST = datetime(2026, 3, 2, tzinfo=UTC)
DAY = 86_400
DAYS, A_DAY = 10, 1_000_000
"""Days at least, and events of a day at most."""
A_POST = 100
LATE = 10_000
COMPARED = 200_000
"""Events that the baselines read."""
TOGETHER = 10_000
RUN = "spring-sale--20260302t000000z"
KINDS = ("processed", "delivered", "delivered", "open", "open", "click")
AGENT = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--events", type=int, default=1_000_000, help="10000000 in half a minute; 100000000 by hand")
    given = parser.parse_args()
    events = 30_000 if given.small else given.events
    days = max(DAYS, events // A_DAY)
    with progress("events") as told:
        told(0, 4)
        with installation() as short:
            take_in(short, 2 * events // days, 2)
            _, late_short = timed(lambda: take_in_late(short))
        told(1, 4)
        with installation() as opened:
            taking, building, kept = take_in(opened, events, days)
            memory = usage()["peak_memory_mb"]
            _, late = timed(lambda: take_in_late(opened))
            told(2, 4)
            lines = list(islice(lines_of(opened.settings.inbox_dir), min(events, COMPARED) // A_POST))
            records = [(number, from_line(line)) for number, line in enumerate(lines)]
            read, parsing = timed(lambda: read_posts(records).rows.height)
            assert read == len(lines) * A_POST, "every event was read"
            told(3, 4)
            (seen, _), looping = timed(lambda: loop(lines))
            inserted, inserting = timed(lambda: upsert(lines, opened.settings.data_dir / "upsert.db"))
            assert inserted == seen, f"{inserted} rows, and {seen} ids in the loop"
    show(
        "events",
        {
            "events_per_s": events / (taking + building),
            "take_in_events_per_s": events / taking,
            "parse_events_per_s": read / parsing,
            "late_batch_s": late,
            "late_batch_short_history_s": late_short,
            "peak_memory_mb": memory,
        },
        {"events_per_s": read / inserting, "parse_events_per_s": read / looping},
        "SQLite, PRIMARY KEY and INSERT OR IGNORE; for parsing, a plain orjson loop",
        target={"events_per_s": 450_000 if events < 50_000_000 else 300_000},
        setup={"events": events, "days": days, "kept": kept, "events_a_post": A_POST, "late_events": LATE},
    )


def take_in(opened: Installation, events: int, days: int) -> tuple[float, float, int]:
    """Seconds of taking in the inbox and of building all days, and the events that are there then."""
    in_another_process(opened.settings.inbox_dir, events, days)
    received, taking = timed(lambda: receive(opened.engine, opened.lake, opened.settings))
    assert received.events == events, f"{received.events} of {events} events"
    built, building = timed(lambda: build(opened, received.touched_days))
    return taking, building, built


def build(opened: Installation, days: Iterable[str]) -> int:
    import polars as pl

    return sum(build_day(opened.lake, day).select(pl.len()).collect().item() for day in sorted(days))


def take_in_late(opened: Installation) -> None:
    """A batch of the first noon, which was over long ago, and that day anew."""
    with (opened.settings.inbox_dir / "sendgrid-late.jsonl").open("wb") as file:
        for post in posts(LATE, 0.5, seed=2):
            file.write(post)
    received = receive(opened.engine, opened.lake, opened.settings)
    assert received.touched_days == {f"{FIRST:%Y-%m-%d}"}, received.touched_days
    build(opened, received.touched_days)


def in_another_process(folder: Path, events: int, days: int) -> None:
    """So that making things up is not part of the memory that is measured."""
    process = get_context("spawn").Process(target=fill, args=(folder, events, days))
    process.start()
    process.join()
    assert process.exitcode == 0, "no events were made up"


def fill(folder: Path, events: int, days: int) -> None:
    """Files of the inbox, as the receiver writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    number, file = 0, None
    for post in posts(events, days):
        if file is None or file.tell() >= FILE_BYTES:
            if file:
                file.close()
            file = (folder / f"sendgrid-{number:05d}.jsonl").open("wb")
            number += 1
        file.write(post)
    if file:
        file.close()


def posts(events: int, days: float, seed: int = 1) -> Iterator[bytes]:
    """Lines of the inbox, in the order of time. In each post, one event repeats another, and one is a day late."""
    made_up = random.Random(seed)
    for start in range(0, events, A_POST):
        at = int(start * days * DAY / events)
        items = [item(made_up, seed, start + number, at) for number in range(A_POST)]
        items[-1] = {**items[0], "sg_event_id": "again"}
        items[-2]["timestamp"] -= min(DAY, at)
        received_at = FIRST + timedelta(seconds=at + 3)
        yield to_line(received_at, "sendgrid", "events", {}, orjson.dumps(items))


def item(made_up: random.Random, seed: int, number: int, at: int) -> dict[str, Any]:
    kind = made_up.choice(KINDS)
    message = f"{seed:04x}{number // 4:020x}"
    fields: dict[str, Any] = {
        "email": f"person{number % 100_000:06d}@example.com",
        "timestamp": int(FIRST.timestamp()) + at,
        "smtp-id": f"<{number:020x}@geopod-ismtpd-{number % 40}>",
        "event": kind,
        "category": ["spring-sale", "a"],
        "sg_event_id": f"{made_up.getrandbits(96):024x}",
        "sg_message_id": f"{number // A_POST:022x}.recvd-5f6d8b7c9-x{number % 97:02d}-1-65E2F0A1-{number % A_POST}.0",
        "run_id": RUN,
        "message_id": message,
        "attempt": "1",
    }
    if kind in ("open", "click"):
        fields |= {"useragent": AGENT, "ip": f"203.0.{number % 200}.{number % 250}"}
    else:
        fields |= {"response": "250 2.0.0 OK  1772443201 ffacd0b85a97d-38e1a2f", "tls": 1}
    if kind == "click":
        fields |= {"url": f"https://shop.example.com/offers/{number % 20}", "url_offset": {"index": 0, "type": "html"}}
    return fields


def lines_of(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.glob("sendgrid-0*.jsonl")):
        with path.open("rb") as file:
            yield from file


def key_of(event: dict[str, Any]) -> tuple[Any, ...]:
    return event["message_id"], event["sg_message_id"], event["event"], event["timestamp"], event.get("url")


def loop(lines: list[bytes]) -> tuple[int, Counter[tuple[int, str]]]:
    seen: set[tuple[Any, ...]] = set()
    counts: Counter[tuple[int, str]] = Counter()
    for line in lines:
        for event in orjson.loads(orjson.loads(line)["body"]):
            key = key_of(event)
            if key not in seen:
                seen.add(key)
                counts[event["timestamp"] // DAY, event["event"]] += 1
    return len(seen), counts


def upsert(lines: list[bytes], file: Path) -> int:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "CREATE TABLE events (event_id TEXT PRIMARY KEY, run_id TEXT, message_id TEXT, type TEXT, occurred_at INTEGER,"
        " received_at TEXT, provider_id TEXT, url TEXT, machine INTEGER) WITHOUT ROWID"
    )
    rows: list[tuple[Any, ...]] = []

    def write() -> None:
        connection.execute("BEGIN")
        connection.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        rows.clear()

    for line in lines:
        post = orjson.loads(line)
        for event in orjson.loads(post["body"]):
            rows.append(
                (
                    "|".join(map(str, key_of(event))),
                    event["run_id"],
                    event["message_id"],
                    event["event"],
                    event["timestamp"],
                    post["received_at"],
                    event["sg_message_id"].partition(".")[0],
                    event.get("url"),
                    event.get("sg_machine_open", False),
                )
            )
            if len(rows) == TOGETHER:
                write()
    write()
    found: int = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    connection.close()
    return found


if __name__ == "__main__":
    main()
