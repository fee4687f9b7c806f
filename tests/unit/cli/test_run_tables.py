"""`campaigns status CAMPAIGN`, and `--watch`."""

import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

import pytest

from campaign_pipeline.cli import run_tables, runs
from tests.unit.cli.conftest import Called

Campaigns = Callable[..., Called]
Row = dict[str, Any]

END = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
OLD: Row = {"run": "sale--0", "state": "completed", "reason": "", "accepted": 7, "pending": 0}
PACE: Row = {"rate": 12.5, "rate_overall": 11.0, "workers": 2, "next_wave_at": None}
ERROR = {"outcome": "rejected", "code": "21610", "says": "the contact has opted out", "messages": 3}
GOING: Row = {
    **{"run": "sale--1", "state": "running", "reason": "", "accepted": 1200, "in_doubt": 4, "pending": 800},
    **PACE,
    **{"remaining": 800, "estimated_end": END, "errors": [ERROR]},
}
DONE: Row = GOING | {"state": "completed", "accepted": 2000, "pending": 0, "remaining": 0, "estimated_end": None}
WAITS: Row = {"run": "sale--2", "state": "scheduled", "reason": ""}


class Looks:
    """What is there at each look, and what was asked for."""

    def __init__(self, *looks: list[Row]) -> None:
        self.looks, self.asked = list(looks), list[Collection[str] | None]()

    def __call__(self, _installation: object, campaign: str, *, only: Collection[str] | None = None) -> list[Row]:
        assert campaign == "sale"
        self.asked.append(only)
        return self.looks.pop(0)


@pytest.fixture
def look(campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Looks]:
    campaigns("init")
    monkeypatch.setattr(run_tables.time, "sleep", lambda _seconds: None)

    def prepare(*rows: list[Row]) -> Looks:
        looks = Looks(*rows)
        for module in (runs, run_tables):
            monkeypatch.setattr(module, "runs_overview", looks)
        return looks

    return prepare


def test_status_shows_the_pace_and_errors_by_class(look: Callable[..., Looks], campaigns: Campaigns) -> None:
    look([WAITS, GOING])
    account, pace = campaigns("status", "sale").out.split("pace\n")
    pace, errors = pace.split("not accepted\n")
    assert [line.split()[:2] for line in account.splitlines() if "--" in line] == [
        ["sale--2", "scheduled"],
        ["sale--1", "running"],
    ]
    (line,) = (line for line in pace.splitlines() if "sale--" in line)
    assert line.split() == ["sale--1", "800", "12.5", "11", "2", "2026-03-02", "09:30", "UTC", "–"]
    (line,) = (line for line in errors.splitlines() if "sale--" in line)
    assert " ".join(line.split()) == "sale--1 rejected 21610 the contact has opted out 3"


def test_a_run_that_is_not_planned_has_no_pace(look: Callable[..., Looks], campaigns: Campaigns) -> None:
    look([WAITS])
    shown = campaigns("status", "sale").out
    assert "sale--2" in shown
    assert "pace" not in shown


def test_watching_ends_when_no_run_goes_on(look: Callable[..., Looks], campaigns: Campaigns) -> None:
    looks = look([GOING, OLD], [GOING], [DONE])
    watched = campaigns("status", "sale", "--watch")
    assert (watched.code, looks.looks, looks.asked) == (0, [], [None, {"sale--1"}, {"sale--1"}])
    going = "sale--1 running, 1,200 accepted, 4 in doubt, 800 remaining, 12.5 messages/s"
    assert watched.out.splitlines() == [
        *[f"{going}, estimated end 2026-03-02 09:30 UTC"] * 2,
        "sale--1 completed, 2,000 accepted, 4 in doubt, 0 remaining, 12.5 messages/s",
    ]


def test_watching_for_machines_is_a_document_each_time(look: Callable[..., Looks], campaigns: Campaigns) -> None:
    look([GOING], [DONE])
    lines = [json.loads(line) for line in campaigns("status", "sale", "--watch", "--json").out.splitlines()]
    assert [[row["state"] for row in rows] for rows in lines] == [["running"], ["completed"]]
    assert lines[0][0]["errors"] == [ERROR]


@pytest.mark.parametrize(("rows", "said"), [([], "No run yet."), ([OLD], "sale--0 completed")])
def test_where_nothing_goes_on_watching_is_one_look(
    look: Callable[..., Looks], campaigns: Campaigns, rows: list[Row], said: str
) -> None:
    look(rows)
    assert campaigns("status", "sale", "--watch").out.splitlines() == [said]


def test_on_a_terminal_the_tables_change_in_place(
    look: Callable[..., Looks], campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch
) -> None:
    look([GOING], [DONE])
    monkeypatch.setattr(run_tables.sys.stdout, "isatty", lambda: True)
    watched = campaigns("status", "sale", "--watch")
    assert watched.code == 0
    assert "completed" in watched.out


def test_control_c_ends_watching(
    look: Callable[..., Looks], campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    look([GOING])
    monkeypatch.setattr(run_tables.time, "sleep", interrupted)
    watched = campaigns("status", "sale", "--watch")
    assert (watched.code, len(watched.out.splitlines())) == (0, 1)


def test_only_one_campaign_can_be_watched(look: Callable[..., Looks], campaigns: Campaigns) -> None:
    watched = campaigns("status", "--watch")
    assert watched.code == 2
    assert "campaigns status CAMPAIGN --watch" in watched.err
