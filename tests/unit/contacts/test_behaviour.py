"""Events into the lake."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts import behaviour
from campaign_pipeline.contacts.behaviour import SCHEMA, import_events
from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.imports import ImportResult
from campaign_pipeline.contacts.mapping import ContactMapping, EventMapping
from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import imports

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
PLAIN = EventMapping(contact="who", event="order_completed", at="at", properties={"amount": "sum", "item": "item"})
WITH_ID = PLAIN.model_copy(update={"id": "no"})
Import = Callable[..., ImportResult]


@pytest.fixture
def take_in(engine: sa.Engine, lake: Lake, tmp_path: Path) -> Import:
    def run(text: str, mapping: EventMapping, name: str = "events.csv") -> ImportResult:
        file = tmp_path / name
        file.write_text(text)
        return import_events(engine, lake, file, mapping, clock=lambda: NOW, rejects_path=tmp_path / "rejects.csv")

    return run


def test_events_are_typed_sorted_and_kept_for_contacts_that_are_not_known_yet(
    engine: sa.Engine, lake: Lake, take_in: Import, tmp_path: Path
) -> None:
    people = tmp_path / "people.csv"
    people.write_text("id\nann\n")
    import_contacts(
        engine, people, ContactMapping(id="id"), clock=lambda: NOW, rejects_path=tmp_path / "rejected_people.csv"
    )
    result = take_in("who,at,sum,item\nann,2026-02-02,9.50,pen\nbob,2026-01-01,3,\nbob,2026-01-03,4,x\n", PLAIN)

    assert (result.read, result.new, result.rejected, result.warnings) == (3, 3, 0, {"unknown_contacts": 1})
    events = lake.read("behaviour", result.import_id)
    assert events.schema == pl.Schema(SCHEMA)
    assert events["occurred_at"].dt.to_string("%m-%d").to_list() == ["01-01", "01-03", "02-02"]
    assert events["contact_id"].to_list() == [contact_id("bob"), contact_id("bob"), contact_id("ann")]
    assert set(events["event"]) == {"order_completed"}
    assert [json.loads(text) for text in events["properties"]] == [
        {"amount": 3.0, "item": None},
        {"amount": 4.0, "item": "x"},
        {"amount": 9.5, "item": "pen"},
    ]


def test_equal_rows_without_an_id_are_separate_events(lake: Lake, take_in: Import) -> None:
    row = "ann,2026-01-01,3,pen\n"
    result = take_in("who,at,sum,item\n" + row * 3, PLAIN)
    assert (result.new, result.repeated) == (3, 0)
    assert lake.read("behaviour", result.import_id)["event_id"].n_unique() == 3


def test_a_renamed_file_is_noticed(lake: Lake, take_in: Import) -> None:
    text = "who,at,sum,item\nann,2026-01-01,3,pen\n"
    first = take_in(text, PLAIN)
    again = take_in(text, PLAIN, "renamed.csv")
    assert (again.already_imported, again.import_id, again.new) == (True, first.import_id, 0)
    assert lake.partitions("behaviour") == [first.import_id]


def test_an_event_with_a_known_id_is_not_added_again(lake: Lake, take_in: Import) -> None:
    head = "no,who,at,sum,item\n"
    take_in(head + "1,ann,2026-01-01,3,pen\n2,bob,2026-01-02,4,pen\n", WITH_ID)
    result = take_in(
        head + "2,bob,2026-01-02,4,pen\n3,ann,2026-01-03,5,pen\n3,ann,2026-01-03,5,pen\n3,ann,2026-01-03,6,pen\n",
        WITH_ID,
    )
    assert (result.read, result.new, result.repeated, result.rejected) == (4, 1, 2, 1)
    assert pl.read_parquet(lake.glob("behaviour")).height == 3
    assert result.rejects_path is not None
    assert pl.read_csv(result.rejects_path)["reason"].to_list() == [
        "has the id of the event on line 3, but says otherwise"
    ]


def test_an_id_counts_within_its_event_name(take_in: Import) -> None:
    mapping = EventMapping(contact="who", event_column="kind", at="at", id="no")
    result = take_in("no,who,at,kind\n1,ann,2026-01-01,viewed\n1,ann,2026-01-01,bought\n", mapping)
    assert (result.new, result.rejected) == (2, 0)


def test_rows_that_are_no_events_are_rejected_with_the_reason(take_in: Import) -> None:
    typed = WITH_ID.model_copy(update={"types": {"amount": ValueType.NUMBER}})
    result = take_in(
        "no,who,at,sum,item\n1,,2026-01-01,3,x\n2,ann,yesterday,3,x\n,ann,2026-01-01,3,x\n3,ann,2026-01-01,many,x\n"
        "4,ann\n5,ann,2026-01-01,,x\n",
        typed,
    )
    assert (result.read, result.new, result.rejected) == (6, 1, 5)
    assert result.rejects_path is not None
    assert pl.read_csv(result.rejects_path).select("line", "reason").rows() == [
        (2, "has no contact"),
        (3, "at is missing or not a time"),
        (4, "has no id"),
        (5, "sum is not of type number"),
        (6, "has 2 cells where the header has 5"),
    ]


def test_events_may_have_no_properties_and_a_file_no_events(lake: Lake, take_in: Import) -> None:
    mapping = EventMapping(contact="who", event="visit", at="at")
    assert lake.read("behaviour", take_in("who,at\n", mapping).import_id).is_empty()
    result = take_in("who,at\nann,2026-01-01\n", mapping)
    assert lake.read("behaviour", result.import_id)["properties"].to_list() == ["{}"]


def test_a_crash_before_the_commit_is_repaired_by_importing_again(
    engine: sa.Engine, lake: Lake, take_in: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "no,who,at,sum,item\n1,ann,2026-01-01,3,pen\n"
    write = Lake.write

    def write_and_die(self: Lake, frame: pl.DataFrame, asset: str, partition: str = "all") -> Path:
        write(self, frame, asset, partition)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(behaviour.Lake, "write", write_and_die)
        with pytest.raises(KeyboardInterrupt):
            take_in(text, WITH_ID)
    with engine.connect() as connection:
        assert connection.execute(sa.select(imports)).all() == []
    before = lake.path("behaviour", lake.partitions("behaviour")[0]).read_bytes()

    result = take_in(text, WITH_ID)
    assert (result.new, result.already_imported) == (1, False)
    assert lake.partitions("behaviour") == [result.import_id]
    assert lake.path("behaviour", result.import_id).read_bytes() == before
