"""Where every campaign and run is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from campaign_pipeline.campaigns.life_cycle import move_run
from campaign_pipeline.campaigns.store import request_run
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.words import RunState
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.status import campaigns_overview, runs_overview

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
SCHEMA = {
    "campaign": pl.String,
    "channel": pl.String,
    "state": pl.String,
    "segment": pl.String,
    "variants": pl.Int64,
    "runs": pl.Int64,
    "last_run": pl.Datetime("us", "UTC"),
}


def ask(installation: Installation, hours: int) -> str:
    with writing(installation.engine) as connection:
        return request_run(connection, "spring-sale", AT + timedelta(hours=hours), requested_by="cli", at=AT)


def test_without_campaigns_there_is_an_empty_table(installation: Installation) -> None:
    overview = campaigns_overview(installation)
    assert (overview.height, dict(overview.schema)) == (0, SCHEMA)


def test_each_campaign_has_a_line(installation: Installation, folder: Path) -> None:
    apply_folder(installation, folder)
    ask(installation, 0)
    ask(installation, 2)
    overview = campaigns_overview(installation)
    assert dict(overview.schema) == SCHEMA
    assert overview.rows() == [
        ("reminder", "sms", "scheduled", "loyal", 1, 0, None),
        ("spring-sale", "email", "draft", "buyers", 1, 2, AT + timedelta(hours=2)),
    ]


def test_each_run_has_a_line_newest_first(installation: Installation, folder: Path) -> None:
    apply_folder(installation, folder)
    assert runs_overview(installation, "spring-sale") == []
    first, second = ask(installation, 0), ask(installation, 1)
    with writing(installation.engine) as connection:
        move_run(connection, first, RunState.CANCELLED, actor="ann", at=AT, reason="called off")
    assert runs_overview(installation, "spring-sale") == [
        {"run": second, "state": "scheduled", "reason": ""},
        {"run": first, "state": "cancelled", "reason": "called off"},
    ]


def test_a_campaign_that_is_not_there_is_said(installation: Installation) -> None:
    with pytest.raises(NotFound, match="campaign 'gone' does not exist"):
        runs_overview(installation, "gone")
