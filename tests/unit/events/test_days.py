"""The events of a day are the same, whatever the order, repetition and delay in which they arrived."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from payloads import sendgrid_item, sendgrid_post, twilio_status

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.events.days import DELIVERY, build_day, touched_days
from campaign_pipeline.events.normalise import normalise, to_frame
from campaign_pipeline.events.record import Record

MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)


def record(request: tuple[str, str, dict[str, str], bytes], at: datetime) -> Record:
    provider, kind, query, body = request
    return Record(at, provider, kind, query, body.decode())


def lake_of(root: Path, *files: list[Record]) -> Lake:
    lake = Lake(root)
    for number, records in enumerate(files):
        events, _ = normalise(enumerate(records))
        lake.write(to_frame(events), "received_events", f"inbox-{number}-0")
    return lake


def world() -> list[Record]:
    """Posts around midnight, each twice: the repetition comes later, with another sg_event_id where there is one."""
    moments = [MIDNIGHT + timedelta(minutes=minutes) for minutes in (-300, -20, -1, 0, 1, 30, 1439, 1440)]
    records: list[Record] = []
    for at in moments:
        for event in ("processed", "open", "click"):
            item = sendgrid_item(event, timestamp=int(at.timestamp()), url="https://a.example")
            records += [
                record(sendgrid_post(item), at + timedelta(seconds=2)),
                record(sendgrid_post(item | {"sg_event_id": "again"}), at + timedelta(minutes=7)),
            ]
        status = twilio_status("sent", MessageSid=f"SM{at:%d%H%M}")
        records += [record(status, at), record(status, at + timedelta(minutes=3))]
    return records


DAYS = ("2026-03-02", "2026-03-03", "2026-03-04")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    lake = lake_of(tmp_path_factory.mktemp("lake"), world())
    return {day: build_day(lake, day).collect() for day in DAYS}


def test_every_event_is_of_one_day_and_there_once(expected: dict[str, pl.DataFrame]) -> None:
    assert [expected[day].height for day in DAYS] == [12, 16, 4]
    everything = pl.concat(expected.values())
    assert everything["event_id"].is_unique().all()
    assert dict(everything.schema) == DELIVERY
    kept = everything.filter(provider="twilio")
    assert kept["received_at"].to_list() == kept["occurred_at"].to_list()


@hypothesis_settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_order_duplication_and_cut_into_files_gives_the_same_days(
    expected: dict[str, pl.DataFrame], data: st.DataObject
) -> None:
    records = world()
    repeated = data.draw(st.lists(st.sampled_from(records), max_size=10))
    shuffled = data.draw(st.permutations(records + repeated))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    files = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_of(Path(folder), *files)
        for day in DAYS:
            assert build_day(lake, day).collect().equals(expected[day])


def test_a_day_is_written_byte_for_byte_the_same(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, world())
    build_day(lake, DAYS[1])
    before = lake.path("delivery_events", DAYS[1]).read_bytes()
    lake.path("delivery_events", DAYS[1]).unlink()
    build_day(lake, DAYS[1])
    assert lake.path("delivery_events", DAYS[1]).read_bytes() == before


def test_a_day_without_events_is_empty_and_has_its_columns(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert dict(build_day(lake, "2026-03-02").collect_schema()) == DELIVERY
    assert lake.read("delivery_events", "2026-03-02").height == 0


def test_a_late_callback_reopens_the_day_after_where_its_repetition_may_be(tmp_path: Path) -> None:
    status = twilio_status("sent")
    repetition, first = record(status, MIDNIGHT + timedelta(minutes=1)), record(status, MIDNIGHT - timedelta(minutes=1))
    lake = lake_of(tmp_path, [repetition])
    assert build_day(lake, "2026-03-03").collect().height == 1
    lake.write(to_frame(normalise([(0, first)])[0]), "received_events", "late-0")
    late = lake.read("received_events", "late-0")
    assert touched_days(late, lake) == {"2026-03-02", "2026-03-03"}
    assert [build_day(lake, day).collect().height for day in ("2026-03-02", "2026-03-03")] == [1, 0]
