"""Days that follow the notes of each take-in are those of a single one, in whatever order and how often events came."""

import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from payloads import ANN, BOB, Request, sendgrid_item, sendgrid_post, twilio_status

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.days import build_day
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.events.received import AHEAD, BEFORE
from campaign_pipeline.events.record import to_line
from campaign_pipeline.events.touched import Kind, done, notes
from tests.databases import sqlite_database

MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)
Posted = tuple[datetime, Request]


def world() -> list[Posted]:
    """Around midnight: a delivery before it and clicks after it, callbacks that carry no time, and other days."""

    def post(minutes: float, *items: dict[str, object]) -> Posted:
        return MIDNIGHT + timedelta(minutes=minutes), sendgrid_post(*items)

    def item(event: str, seconds: int, contact: str = ANN, **fields: object) -> dict[str, object]:
        return sendgrid_item(event, contact, **({"timestamp": int(MIDNIGHT.timestamp()) + seconds} | fields))

    clicks = [item("click", 5 * n - 5, BOB, url=f"https://shop.example/{n}") for n in range(4)]
    late = [item("open", -86_400 * days, BOB) for days in (1, 3)]
    odd = item("open", 30, BOB, timestamp=str(int(MIDNIGHT.timestamp()) + 30))  # for the reference parser
    posts = [
        post(1, item("delivered", -1)),
        post(1, item("click", 0, url="https://shop.example/a")),
        *(post(2 + n, each) for n, each in enumerate(clicks)),
        post(9, odd, *late),
        post(9, item("open", -(10**9)), item("open", 10**9)),  # of no day that anybody means
    ]
    posts += [(at + timedelta(hours=2), request) for at, request in posts[:3]]  # once more
    statuses = [twilio_status("delivered", MessageSid=f"SM{n}") for n in range(2)]
    return [*posts, *((MIDNIGHT + timedelta(minutes=m), status) for m in (-1, 1) for status in statuses)]


def days_after(folder: Path, take_ins: Iterable[list[Posted]]) -> dict[str, pl.DataFrame]:
    """delivery_events after each of `take_ins` was taken in, and what it made stale was built."""
    settings = Settings(_env_file=None, data_dir=folder)
    engine, lake = sqlite_database(folder / "campaigns.db"), Lake(folder / "lake")
    settings.inbox_dir.mkdir()
    for number, posts in enumerate(take_ins):
        lines = [to_line(at, *request) for at, request in posts]
        (settings.inbox_dir / f"some-{number}.jsonl").write_bytes(b"".join(lines))
        receive(engine, lake, settings, batch_bytes=1000)
        for note in notes(engine):
            assert note.kind is Kind.DAY
            build_day(lake, note.key)
            done(engine, note)
    engine.dispose()
    folders = {path.parent.name for path in lake.root.glob("received_events/*/*.parquet")}
    assert folders - {BEFORE, AHEAD} <= set(lake.partitions("delivery_events"))
    return {day: lake.read("delivery_events", day) for day in lake.partitions("delivery_events")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    return days_after(tmp_path_factory.mktemp("once"), [world()])


def test_each_event_is_there_once_and_machines_are_known(expected: dict[str, pl.DataFrame]) -> None:
    assert {day: rows.height for day, rows in expected.items()} == {
        "2026-02-28": 1,
        "2026-03-02": 5,
        "2026-03-03": 5,
    }
    assert expected["2026-03-03"]["machine_reason"].drop_nulls().sort().to_list() == [*["all_links"] * 3, "too_fast"]


@pytest.mark.parametrize("late", [0, 2])
def test_what_comes_late_of_the_day_before_changes_the_day_after(tmp_path: Path, late: int) -> None:
    """A delivery makes the click after it a machine's; the first copy of a callback takes the second one away."""
    posts = [each for each in world() if each[0] <= MIDNIGHT + timedelta(minutes=1)]
    last = posts.pop(late)
    found = days_after(tmp_path, [posts, [last]])
    assert found["2026-03-03"].select("type", "machine_reason").rows() == [("clicked", "too_fast")]
    assert found["2026-03-02"].select("type").to_series().to_list() == ["delivered"] * 3


@hypothesis_settings(max_examples=8)
@given(data=st.data())
def test_any_order_duplication_and_delay_gives_the_same_days(
    expected: dict[str, pl.DataFrame], data: st.DataObject
) -> None:
    posts = world()
    repeated = data.draw(st.lists(st.sampled_from(posts), max_size=5))
    shuffled = data.draw(st.permutations(posts + repeated))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    take_ins = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        found = days_after(Path(folder), take_ins)
    assert found.keys() == expected.keys()
    for day, rows in found.items():
        assert rows.equals(expected[day]), day


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """Directly in the folder, without the columns that machines are told by."""
    once = days_after(tmp_path, [world()])
    lake = Lake(tmp_path / "lake")
    files = sorted(lake.root.glob("received_events/*/*.parquet"))
    old = pl.concat([pl.read_parquet(file) for file in files]).drop("user_agent", "network")
    for file in files:
        file.unlink()
    lake.write(old, "received_events", "sendgrid-0")
    assert {day: build_day(lake, day).collect().height for day in once} == {d: rows.height for d, rows in once.items()}
