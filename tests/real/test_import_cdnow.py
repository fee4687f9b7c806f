"""CDNOW's orders of 1997-98 as contacts and purchases (numbers: shared/data/README.md)."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts.behaviour import import_events
from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.imports import ImportResult
from campaign_pipeline.contacts.mapping import ContactMapping, EventMapping
from campaign_pipeline.contacts.snapshot import write_snapshot
from campaign_pipeline.contacts.sources.files import SourceFile
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import imports

CONTACTS = ContactMapping(id="customer_id")
PURCHASES = EventMapping(
    contact="customer_id",
    event="order_completed",
    at="date",
    at_format="%Y%m%d",
    properties={"amount": "dollar_value", "quantity": "number_of_cds"},
)


def clock() -> datetime:
    return datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def cdnow(shared_data: Path) -> Path:
    return shared_data / "rfm" / "CDNOW_master.txt"


def take_in(engine: sa.Engine, lake: Lake, file: Path, rejects: Path) -> tuple[ImportResult, ImportResult]:
    source = SourceFile(file, delimiter="whitespace")
    contacts = import_contacts(engine, source, CONTACTS, clock=clock, rejects_path=rejects / "contacts.csv")
    events = import_events(engine, lake, source, PURCHASES, clock=clock, rejects_path=rejects / "events.csv")
    return contacts, events


def test_all_contacts_and_every_purchase_come_in_once(
    engine: sa.Engine, lake: Lake, cdnow: Path, tmp_path: Path
) -> None:
    contacts, events = take_in(engine, lake, cdnow, tmp_path)

    assert (contacts.read, contacts.new, contacts.repeated, contacts.rejected) == (69_659, 23_570, 46_089, 0)
    assert (events.read, events.new, events.repeated, events.rejected) == (69_659, 69_659, 0, 0)
    assert events.warnings == {}
    assert contacts.rejects_path is events.rejects_path is None
    assert len(write_snapshot(engine, lake)) == 23_570

    purchases = lake.read("behaviour", events.import_id)
    amount = purchases["properties"].str.json_path_match("$.amount").cast(pl.Decimal(12, 2)).sum()
    assert str(amount) == "2500315.63"
    assert purchases["event_id"].n_unique() == 69_659
    assert purchases["occurred_at"].is_sorted()
    assert purchases["occurred_at"].min() == datetime(1997, 1, 1, tzinfo=UTC)


def test_the_same_file_again_under_another_name_adds_nothing(
    engine: sa.Engine, lake: Lake, cdnow: Path, tmp_path: Path
) -> None:
    take_in(engine, lake, cdnow, tmp_path)
    renamed = tmp_path / "renamed.txt"
    renamed.write_bytes(cdnow.read_bytes())

    contacts, events = take_in(engine, lake, renamed, tmp_path)

    assert contacts.already_imported
    assert events.already_imported
    assert (contacts.new, contacts.changed, events.new) == (0, 0, 0)
    assert lake.partitions("behaviour") == [events.import_id]
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(imports)).scalar_one() == 2
