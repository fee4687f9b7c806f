"""The contact snapshot: consent as Booleans, attributes as typed columns."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts import snapshot_read
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.contacts.snapshot import DERIVED, FIELDS, read_snapshot, write_snapshot
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.core.words import Channel, ConsentState

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture(params=["engine", pytest.param("postgres_engine", id="postgres")])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    return request.getfixturevalue(request.param)


def add(engine: sa.Engine, *attributes: dict[str, Any]) -> None:
    rows = [
        {"contact_id": f"c{n}", "external_id": str(n), "attributes": item, "created_at": NOW, "updated_at": NOW}
        for n, item in enumerate(attributes)
    ]
    with writing(engine) as connection:
        connection.execute(sa.insert(contacts), rows)


@pytest.mark.parametrize("piece", [1, 50_000])
def test_attributes_are_typed_over_all_contacts(
    database: sa.Engine, lake: Lake, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(snapshot_read, "PIECE", piece)
    add(
        database,
        {"whole": 1, "some": 1, "flag": True, "mixed": True, "text": "a", "none": None},
        {"whole": None, "some": 2.5, "flag": False, "mixed": 7, "text": "ü"},
        {"only_here": 3},
    )
    snapshot = write_snapshot(database, lake)
    assert snapshot.columns == [
        *FIELDS, "consent_email", "consent_sms", "consent_whatsapp", "consent_webhook",
        "reachable_email", "reachable_sms", "reachable_whatsapp", "reachable_webhook", "lists", "tags",
        "flag", "mixed", "none", "only_here", "some", "text", "whole",
    ]  # fmt: skip
    attributes = snapshot.select("flag", "mixed", "none", "only_here", "some", "text", "whole")
    assert attributes.dtypes == [pl.Boolean, pl.String, pl.String, pl.Int64, pl.Float64, pl.String, pl.Int64]
    assert attributes.rows() == [
        (True, "true", None, None, 1.0, "a", 1),
        (False, "7", None, None, 2.5, "ü", None),
        (None, None, None, 3, None, None, None),
    ]
    assert snapshot["created_at"].to_list() == [NOW] * 3
    assert read_snapshot(lake).equals(snapshot)


def test_consent_is_the_newest_marketing_state(engine: sa.Engine, lake: Lake) -> None:
    add(engine, {}, {}, {})
    with writing(engine) as connection:
        for person, state, purpose in (
            ("c0", ConsentState.WITHDRAWN, "marketing"),
            ("c0", ConsentState.GRANTED, "marketing"),
            ("c1", ConsentState.GRANTED, "marketing"),
            ("c1", ConsentState.WITHDRAWN, "marketing"),
            ("c2", ConsentState.GRANTED, "research"),
        ):
            record_consent(connection, person, Channel.SMS, state, source="test", at=NOW, purpose=purpose)
    snapshot = write_snapshot(engine, lake)
    assert snapshot["consent_sms"].to_list() == [True, False, False]
    assert snapshot["consent_email"].to_list() == [False, False, False]


def test_a_snapshot_of_nobody_has_the_same_columns(engine: sa.Engine, lake: Lake) -> None:
    with pytest.raises(NotFound):
        read_snapshot(lake)
    snapshot = write_snapshot(engine, lake)
    assert snapshot.schema == pl.Schema(FIELDS | DERIVED)
    assert snapshot.is_empty()
