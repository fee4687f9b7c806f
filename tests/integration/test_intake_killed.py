"""kill -9 while the inbox is taken in: every event of it is there once afterwards, and what is stale is known."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import inbox_cursors, suppressions
from campaign_pipeline.events.days import build_day
from campaign_pipeline.events.ingest import pending_bytes, receive
from campaign_pipeline.events.record import to_line
from campaign_pipeline.events.touched import Kind, notes

POSTS, ITEMS, KILLS, BATCH = 400, 10, 4, 8_000
FIRST = datetime(2026, 3, 2, 12, tzinfo=UTC)

TAKE_IN = """
import sys
from campaign_pipeline.core.database import open_database
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.ingest import receive
settings = Settings(_env_file=None, data_dir=sys.argv[1])
receive(open_database(settings.sqlalchemy_url), Lake(settings.lake_dir), settings, int(sys.argv[2]))
"""


def fill(folder: Path) -> None:
    """Two files, over two days; one item of each post has consequences."""
    folder.mkdir(parents=True)
    for number in range(2):
        with (folder / f"sendgrid-{number}.jsonl").open("wb") as file:
            for post in range(number * POSTS // 2, (number + 1) * POSTS // 2):
                at = FIRST + timedelta(minutes=4 * post)
                items = [
                    {"event": "open", "timestamp": int(at.timestamp()), "sg_event_id": f"{post}-{item}"}
                    for item in range(ITEMS - 1)
                ]
                items.append(
                    items[0] | {"event": "unsubscribe", "sg_event_id": f"{post}", "email": f"a{post}@x.example"}
                )
                file.write(to_line(at, "sendgrid", "events", {}, orjson.dumps(items)))


def position(engine: sa.Engine) -> int:
    with reading(engine) as connection:
        return connection.execute(sa.select(sa.func.coalesce(sa.func.sum(inbox_cursors.c.position), 0))).scalar_one()


def kill_one(settings: Settings, engine: sa.Engine, until: int) -> None:
    """Start a process that takes in, and end it, by its own id, when it has come as far as `until`."""
    command = [sys.executable, "-c", TAKE_IN, str(settings.data_dir), str(BATCH)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while position(engine) < until and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait(60)


def test_every_event_is_there_once_after_kills(engine: sa.Engine, lake: Lake, settings: Settings) -> None:
    fill(settings.inbox_dir)
    size = sum(path.stat().st_size for path in settings.inbox_dir.glob("*.jsonl"))
    for number in range(KILLS):
        kill_one(settings, engine, size * (number + 1) // (KILLS + 2))
    assert 0 < position(engine) < size, "it was killed in the middle"
    receive(engine, lake, settings, BATCH)
    assert pending_bytes(engine, settings.inbox_dir).pending == 0
    stale = [note.key for note in notes(engine) if note.kind is Kind.DAY]
    assert stale == ["2026-03-02", "2026-03-03"]
    events = pl.concat([build_day(lake, day).collect() for day in stale])
    assert events.height == pl.read_parquet(lake.glob("received_events")).height == POSTS * ITEMS
    assert events["event_id"].is_unique().all()
    with reading(engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(suppressions)).scalar_one() == POSTS
