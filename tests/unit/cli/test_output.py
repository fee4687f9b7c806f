"""What is shown: tables for people, JSON for machines."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from campaign_pipeline.cli.output import progress_bar, show_json, show_table
from campaign_pipeline.core.progress import progress_of
from campaign_pipeline.core.words import RunState

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def shown(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setattr("campaign_pipeline.cli.output.console.width", 200)

    def show(rows: object) -> str:
        show_table("title", rows)  # pyright: ignore[reportArgumentType]
        return capsys.readouterr().out

    return show


@pytest.mark.parametrize("text", ["[bold]x[/]", "['a', 'b']", r"C:\[tmp]", "[/]", "[", "Zoë 🌸"])
def test_what_is_in_a_cell_is_text_and_never_markup(shown: Callable[..., str], text: str) -> None:
    assert text in shown([{"what": text}])


def test_cells_by_type(shown: Callable[..., str]) -> None:
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    cells = shown([{"a_count": 12_345, "rate": 0.123456, "ok": True, "last_run": at, "none": None}]).split("\n")
    assert any("a count" in line and "last run" in line for line in cells)
    row = next(line for line in cells if "12,345" in line)
    assert all(part in row for part in ("0.1235", "yes", "2026-03-02 09:00 UTC", "–"))


def test_rows_may_have_different_keys(shown: Callable[..., str]) -> None:
    """A run that was not planned yet has no account."""
    table = shown([{"run": "a"}, {"run": "b", "accepted": 7}])
    assert "accepted" in table
    assert "7" in table


def test_json_of_every_kind_of_value(capsys: Captured) -> None:
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    frame = pl.DataFrame({"n": [1, None]})
    show_json({"at": at, "day": date(2026, 3, 2), "state": RunState.PAUSED, "file": Path("a/b"), "rows": frame, "é": 1})
    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-03-02T09:00:00+00:00",
        "day": "2026-03-02",
        "state": "paused",
        "file": "a/b",
        "rows": [{"n": 1}, {"n": None}],
        "é": 1,
    }
    with pytest.raises(TypeError, match="object has no JSON form"):
        show_json(object())


def test_progress_is_for_terminals_only(capsys: Captured) -> None:
    with progress_bar() as bar:
        progress_of("sent")(1, 2)
        progress_of("sent")(2, 2)
        assert [(task.description, task.completed, task.total) for task in bar.tasks] == [("sent", 2, 2)]
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""
