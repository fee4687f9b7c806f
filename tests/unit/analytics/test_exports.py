"""Exports: what the warehouse shows, in files that other programs read without harm."""

import csv
from datetime import UTC, datetime

import polars as pl
import pytest

from campaign_pipeline.analytics.exports import Format, export_table
from campaign_pipeline.analytics.metrics import build_campaign_metrics
from campaign_pipeline.analytics.schemas import CAMPAIGN_METRICS
from campaign_pipeline.analytics.warehouse import VIEWS
from campaign_pipeline.core.errors import InvalidInput, NotFound

RUN = "spring--20260302t090000z"


def rows_of(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_both_formats_hold_the_rows_of_the_warehouse(tmp_path, lake, tested_run):
    metrics = build_campaign_metrics(tested_run({"plain": (40, 3), "émoji": (40, 9)}))
    lake.write(metrics, "campaign_metrics", RUN)
    assert export_table(lake, "campaign_metrics", tmp_path / "m.csv", Format.CSV) == 2
    rows = rows_of(tmp_path / "m.csv")
    assert list(rows[0]) == list(CAMPAIGN_METRICS)
    assert [(row["variant"], row["clicked"], row["click_rate"]) for row in rows] == [
        ("plain", "3", "0.075"),
        ("émoji", "9", "0.225"),
    ]
    assert export_table(lake, "campaign_metrics", tmp_path / "m.parquet", Format.PARQUET) == 2
    assert pl.read_parquet(tmp_path / "m.parquet").equals(metrics)
    assert sorted(path.name for path in tmp_path.glob("*m.*")) == ["m.csv", "m.parquet"]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_text_that_a_spreadsheet_would_run_is_made_harmless_in_csv_only(tmp_path, lake, run, new_event, sign):
    evil = f"{sign}HYPERLINK(A1)"
    run.events([new_event("m0", "clicked", 1, reason=evil) | {"event_id": "e0"}])
    export_table(lake, "delivery_events", tmp_path / "e.csv", Format.CSV)
    assert rows_of(tmp_path / "e.csv")[0]["reason"] == f"'{evil}"
    export_table(lake, "delivery_events", tmp_path / "e.parquet", Format.PARQUET)
    assert pl.read_parquet(tmp_path / "e.parquet")["reason"].to_list() == [evil]


def test_numbers_below_zero_separators_and_quotes_stay_as_they_are(tmp_path, lake, run, new_event):
    lake.write(pl.DataFrame({"metric": ["clicked"], "absolute": [-0.5]}), "ab_results", f"{RUN}/2026-03-02")
    export_table(lake, "ab_results", tmp_path / "r.csv", Format.CSV)
    (row,) = rows_of(tmp_path / "r.csv")
    assert (row["metric"], row["absolute"], row["variant"]) == ("clicked", "-0.5", "")
    run.events([new_event("m0", "clicked", 1, reason='a;=1,"b"\nc', url="https://x.example/?q=ann")])
    export_table(lake, "delivery_events", tmp_path / "e.csv", Format.CSV)
    (row,) = rows_of(tmp_path / "e.csv")
    assert (row["reason"], row["url"]) == ('a;=1,"b"\nc', "https://x.example/")
    assert datetime.fromisoformat(row["occurred_at"]) == datetime(2026, 3, 2, 9, 1, tzinfo=UTC)


def test_empty_text_is_not_a_missing_value(tmp_path, lake, run, new_event):
    run.events([new_event("m0", "opened", 1)])
    export_table(lake, "delivery_events", tmp_path / "e.csv", Format.CSV)
    line = (tmp_path / "e.csv").read_text().splitlines()[1]
    assert line.endswith(',"","",,false,"opened",')  # provider_id, reason: empty; url, machine_reason: missing


def test_only_the_runs_that_are_asked_for_are_exported(tmp_path, lake):
    run_ids = [f"{letter}'--1" for letter in "abcdefghij"]
    for run_id in run_ids:
        lake.write(pl.DataFrame({"run_id": [run_id] * 3, "planned": [1, 2, 3]}), "campaign_metrics", run_id)
    for _ in range(5):  # the order is that of the lake, every time
        assert export_table(lake, "campaign_metrics", tmp_path / "m.csv", Format.CSV, run_ids[:8][::-1]) == 24
        shown = [(row["run_id"], row["planned"]) for row in rows_of(tmp_path / "m.csv")]
        assert shown == [(run_id, planned) for run_id in run_ids[:8] for planned in "123"]
    assert export_table(lake, "campaign_metrics", tmp_path / "none.csv", Format.CSV, []) == 0


def test_every_table_can_be_exported_also_without_rows(tmp_path, lake):
    for name, schema in VIEWS.items():
        assert export_table(lake, name, tmp_path / f"{name}.csv", Format.CSV) == 0
        assert export_table(lake, name, tmp_path / f"{name}.parquet", Format.PARQUET) == 0
        assert (tmp_path / f"{name}.csv").read_text().strip().replace('"', "").split(",") == list(schema)
        assert pl.read_parquet(tmp_path / f"{name}.parquet").columns == list(schema)


def test_what_cannot_be_exported_is_named(tmp_path, lake, monkeypatch):
    with pytest.raises(NotFound, match="table 'contacts' is not in the warehouse"):
        export_table(lake, "contacts", tmp_path / "c.csv", Format.CSV)
    with pytest.raises(InvalidInput, match="does not exist"):
        export_table(lake, "ab_results", tmp_path / "no" / "c.csv", Format.CSV)
    monkeypatch.setattr("campaign_pipeline.analytics.exports.VIEWS", {"cohorts": {"day": pl.Date}})
    with pytest.raises(InvalidInput, match="table 'cohorts' is not by run"):
        export_table(lake, "cohorts", tmp_path / "c.csv", Format.CSV, ["a--1"])


def test_an_export_that_fails_leaves_the_older_file(tmp_path, lake):
    file = tmp_path / "e.csv"
    file.write_text("before")
    lake.write(pl.DataFrame({"other": [1]}), "delivery_events", "2026-03-02")  # no such table: an error of the view
    with pytest.raises(Exception, match="delivery_events"):
        export_table(lake, "delivery_events", file, Format.CSV)
    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.glob("*e.csv*")] == ["e.csv"]
