"""A messy real export: byte order mark, semicolons, missing incomes (numbers: shared/data/README.md)."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.mapping import ContactMapping, mapping_from_pairs
from campaign_pipeline.contacts.snapshot import write_snapshot
from campaign_pipeline.contacts.sources.files import SourceFile
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.lake import Lake

MAPPING = mapping_from_pairs(["id=ID", "created_at=Dt_Customer", "attributes=rest"], ContactMapping)


def clock() -> datetime:
    return datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def export(shared_data: Path) -> Path:
    return shared_data / "rfm" / "marketing_campaign_bom_semicolon.csv"


def test_every_row_comes_in_and_missing_incomes_are_null(
    engine: sa.Engine, lake: Lake, export: Path, tmp_path: Path
) -> None:
    source = SourceFile(export, delimiter=";")
    result = import_contacts(engine, source, MAPPING, clock=clock, rejects_path=tmp_path / "rejects.csv")

    assert (result.read, result.new, result.repeated, result.rejected) == (2_240, 2_240, 0, 0)
    assert result.warnings == {}
    snapshot = write_snapshot(engine, lake)
    assert len(snapshot) == 2_240
    assert snapshot["income"].null_count() == 24
    assert snapshot["income"].dtype == pl.Int64
    assert snapshot["response"].sum() == 334
    assert {"YOLO", "Absurd", "Alone"} <= set(snapshot["marital_status"])
    assert snapshot.filter(external_id="5524")["created_at"].item() == datetime(2012, 9, 4, tzinfo=UTC)
    assert lake.read("contact_snapshot").equals(snapshot)


def test_the_wrong_delimiter_is_refused_with_the_columns_that_were_found(
    engine: sa.Engine, export: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"no column 'ID'[\s\S]*ID;Year_Birth[\s\S]*delimiter"):
        import_contacts(engine, export, MAPPING, clock=clock, rejects_path=tmp_path / "rejects.csv")
