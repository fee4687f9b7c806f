"""Where every campaign and run is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.life_cycle import move_run
from campaign_pipeline.campaigns.store import request_run
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import runs
from campaign_pipeline.core.words import Outcome, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import INDEX, BatchFile
from campaign_pipeline.dispatch.ledger import Source
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


def plan(installation: Installation, run_id: str, messages: int) -> None:
    """Messages 0..n-1, each a batch of its own, planned; and their run under way."""
    rows = [(n, n, f"{n:024x}", f"{n + 4096:024x}", AT, "email", 0) for n in range(messages)]
    types = {"message_no": pl.Int32, "batch_no": pl.Int32, "step": pl.Int16, "send_at": ledger.UTC_TIME}
    frame = pl.DataFrame(rows, schema=list(INDEX), schema_overrides=types, orient="row")
    installation.lake.write(frame, "messages", run_id)
    installation.lake.write(frame.select("contact_id", status=pl.lit("planned")), "audience", run_id)
    content = BatchFile(installation.lake, run_id).content_hash()
    with writing(installation.engine) as connection:
        move_run(connection, run_id, RunState.RUNNING, actor="test", at=AT)
        ledger.record_plan(connection, run_id, messages=messages, batches=messages, content_hash=content, at=AT)


def test_a_planned_run_says_how_it_goes_on(
    installation: Installation, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_folder(installation, folder)
    run_id = ask(installation, 0)
    plan(installation, run_id, 5)
    ends = {0: (Outcome.ACCEPTED, ""), 1: (Outcome.REJECTED, "21610")}
    for number in range(3):
        ledger.claim(installation.engine, run_id, number, 1, f"worker-{number}", AT)
    said = [
        ledger.OutcomeRow(run_id, n, 1, Source.SEND, *end, "", AT + timedelta(seconds=4)) for n, end in ends.items()
    ]
    ledger.append_outcomes(installation.engine, said)
    monkeypatch.setattr(Settings, "clock", property(lambda _self: lambda: AT + timedelta(seconds=8)))
    assert runs_overview(installation, "spring-sale") == [
        {
            "run": run_id,
            "state": "running",
            "reason": "",
            **{"accepted": 1, "rejected": 1, "in_flight": 1, "pending": 2},
            **{"remaining": 2, "rate": 0.25, "rate_overall": 0.5, "workers": 1},
            "estimated_end": AT + timedelta(seconds=16),
            "next_wave_at": None,
            "errors": [{"outcome": "rejected", "code": "21610", "says": "the contact has opted out", "messages": 1}],
        }
    ]
    assert runs_overview(installation, "spring-sale", only=[]) == []


def test_a_run_that_waits_says_for_when(
    installation: Installation, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_folder(installation, folder)
    run_id = ask(installation, 0)
    plan(installation, run_id, 2)
    with writing(installation.engine) as connection:
        connection.execute(sa.update(runs).values(next_wave_at=AT + timedelta(hours=9)))
    monkeypatch.setattr(Settings, "clock", property(lambda _self: lambda: AT))
    row = runs_overview(installation, "spring-sale")[0]
    assert (row["remaining"], row["estimated_end"], row["next_wave_at"]) == (2, None, AT + timedelta(hours=9))


def test_a_campaign_that_is_not_there_is_said(installation: Installation) -> None:
    with pytest.raises(NotFound, match="campaign 'gone' does not exist"):
        runs_overview(installation, "gone")
