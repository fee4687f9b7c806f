"""`campaigns machines`: the rules in force, the days of other rules, and noting these."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.events.days import build_day
from campaign_pipeline.events.machines import FILE, machine_rules
from campaign_pipeline.events.normalise import RECEIVED
from campaign_pipeline.events.received import write_received
from campaign_pipeline.events.touched import notes

Call = Callable[..., Any]
DAYS = ("2026-03-02", "2026-03-03")


@pytest.fixture
def built(campaigns: Call) -> Call:
    """Two days of events, classed by the rules that are shipped."""
    assert campaigns("init").code == 0
    lake = open_installation().lake
    for day in DAYS:
        at = datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC)
        row = dict.fromkeys(RECEIVED, "") | {"event_id": day, "occurred_at": at, "received_at": at, "machine": False}
        write_received(lake, pl.DataFrame([row], schema=RECEIVED), "b")
        build_day(lake, day)
    return campaigns


def test_the_rules_are_shown(built: Call) -> None:
    shown = built("machines")
    assert shown.code == 0
    assert "Barracuda" in shown.out
    assert "--reclass" not in shown.out
    found = built("machines", "--json").json
    assert (found["version"], found["days"]) == (machine_rules().label, [])


def test_days_of_other_rules_are_noted_to_be_classed_anew(
    built: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "ours.yaml"
    ours.write_text(yaml.safe_dump(yaml.safe_load(FILE.read_text()) | {"version": "ours"}))
    monkeypatch.setenv("CAMPAIGN_MACHINE_RULES", str(ours))
    assert "2 days were classed by other rules" in built("machines").out
    assert notes(open_installation().engine) == []
    assert built("machines", "--reclass", "--since", DAYS[1], "--json").json["days"] == [DAYS[1]]
    assert [note.key for note in notes(open_installation().engine)] == [DAYS[1]]
    assert "2 days are noted" in built("machines", "--reclass").out


def test_a_mistake_in_the_rules_is_an_error(built: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tmp_path / "ours.yaml"
    ours.write_text("version: x\n")
    monkeypatch.setenv("CAMPAIGN_MACHINE_RULES", str(ours))
    shown = built("machines")
    assert shown.code != 0
    assert "too_fast" in shown.err
