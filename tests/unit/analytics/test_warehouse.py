"""The warehouse: views over the lake, nothing personal, and readers that are never disturbed."""

import subprocess
import sys

import duckdb
import polars as pl
import pytest

from campaign_pipeline.analytics.experiments.runs import ab_results
from campaign_pipeline.analytics.metrics import build_audience_summary, build_campaign_days, build_campaign_metrics
from campaign_pipeline.analytics.schemas import AB_RESULTS
from campaign_pipeline.analytics.warehouse import VIEWS, rebuild_warehouse

RUN = "spring--20260302t090000z"


def ask(settings, query: str) -> list[tuple]:
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_an_empty_lake_has_every_view_with_its_columns_and_types(settings, lake):
    assert rebuild_warehouse(settings, lake) == dict.fromkeys(VIEWS, 0)
    for view, schema in VIEWS.items():
        assert [row[0] for row in ask(settings, f"DESCRIBE {view}")] == list(schema)
        assert ask(settings, f"SELECT count(*) FROM {view}") == [(0,)]
    assert ("day", "DATE") in [row[:2] for row in ask(settings, "DESCRIBE campaign_days")]


def test_views_show_what_is_in_the_lake_with_the_types_of_an_empty_one(settings, lake, tested_run):
    rebuild_warehouse(settings, lake)
    empty = {view: [row[:2] for row in ask(settings, f"DESCRIBE {view}")] for view in VIEWS}
    facts = tested_run({"a": (30, 3), "b": (30, 9)})
    lake.write(facts, "message_facts", RUN)
    lake.write(build_audience_summary(facts), "audience_summary", RUN)
    lake.write(build_campaign_metrics(facts), "campaign_metrics", RUN)
    lake.write(build_campaign_days(facts), "campaign_days", RUN)
    lake.write(ab_results(facts, goal="clicked", control="a"), "ab_results", f"{RUN}/2026-03-02")
    lake.write(pl.DataFrame(schema=dict(VIEWS["assignments"])), "assignments", RUN)
    written = {"audience", "message_facts", "audience_summary", "campaign_metrics", "campaign_days", "ab_results"}
    written |= {"delivery_events", "assignments"}
    assert rebuild_warehouse(settings, lake) == {view: int(view in written) for view in VIEWS}
    assert {view: [row[:2] for row in ask(settings, f"DESCRIBE {view}")] for view in VIEWS} == empty
    assert ask(settings, "SELECT variant, clicked FROM campaign_metrics ORDER BY 1") == [("a", 3), ("b", 9)]
    assert ask(settings, "SELECT DISTINCT run_id, status FROM audience") == [(RUN, "planned")]
    assert ask(settings, "SELECT decision FROM ab_results WHERE is_goal AND NOT is_control") == [("inconclusive",)]


def test_nothing_personal_can_be_read(settings, lake, run, new_event):
    run.freeze([("planned", "", "a")])
    link = "https://shop.example/x?email=person0@example.com#me"
    run.events([new_event("m0", "clicked", 1, url=link) | {"event_id": "e0"}])
    rebuild_warehouse(settings, lake)
    assert ask(settings, "SELECT * EXCLUDE (send_at) FROM audience") == [(RUN, "c0", "planned", "", "a")]
    assert ask(settings, "SELECT url FROM delivery_events") == [("https://shop.example/x",)]
    for view in VIEWS:
        assert "person0" not in str(ask(settings, f"SELECT * FROM {view}"))


def test_audiences_whose_contacts_have_different_attributes_are_read_together(settings, lake, run):
    run.freeze([("planned", "", "a")])
    other = lake.read("audience", RUN).with_columns(contact=pl.struct(vip=pl.lit(True), email=pl.lit(1)))
    lake.write(other, "audience", "summer--20260602t090000z")
    rebuild_warehouse(settings, lake)
    assert ask(settings, "SELECT count(DISTINCT run_id) FROM audience") == [(2,)]


def test_columns_that_are_added_later_are_null_in_older_partitions(settings, lake, tested_run):
    facts = tested_run({"a": (2, 1)})
    lake.write(facts.drop("machine_clicks"), "message_facts", RUN)
    lake.write(facts, "message_facts", "summer--20260602t090000z")
    rebuild_warehouse(settings, lake)
    assert sorted(ask(settings, "SELECT machine_clicks FROM message_facts"), key=str) == [(0,), (0,), (None,), (None,)]


def test_who_has_the_old_file_open_keeps_reading_it_while_a_new_one_comes(settings, lake, tested_run):
    rebuild_warehouse(settings, lake)
    reader = duckdb.connect(str(settings.warehouse_path), read_only=True)
    facts = tested_run({"a": (3, 1)})
    lake.write(facts, "message_facts", RUN)
    rebuild_warehouse(settings, lake)
    assert reader.execute("SELECT count(*) FROM message_facts").fetchall() == [(0,)]
    assert other_process(settings, "SELECT count(*) FROM message_facts") == "3"
    reader.close()
    assert [file.name for file in settings.data_dir.iterdir() if "duckdb" in file.name] == ["warehouse.duckdb"]


def test_columns_that_no_partition_has_yet_are_null(settings, lake, tested_run):
    lake.write(tested_run({"a": (2, 1)}).drop("conversions", "cost"), "message_facts", RUN)
    rebuild_warehouse(settings, lake)
    assert ask(settings, "SELECT conversions, cost FROM message_facts") == [(None, None)] * 2
    assert ("cost", "DOUBLE") in [row[:2] for row in ask(settings, "DESCRIBE message_facts")]


def test_a_rebuild_that_fails_leaves_the_old_warehouse(settings, lake):
    rebuild_warehouse(settings, lake)
    path = lake.write(pl.DataFrame({"x": [1]}), "delivery_events", "2026-03-02")
    path.write_bytes(b"no Parquet file")
    with pytest.raises(duckdb.Error):
        rebuild_warehouse(settings, lake)
    assert ask(settings, "SELECT count(*) FROM message_facts") == [(0,)]


READER = """
import duckdb, os, sys
path, stop = sys.argv[1:]
print("ready", flush=True)
seen = []
while not os.path.exists(stop) or len(seen) < 3:
    with duckdb.connect(path, read_only=True) as connection:
        for view in ("message_facts", "campaign_metrics", "audience"):
            rows = connection.execute(f"SELECT count(*), count(DISTINCT run_id) FROM {view}").fetchone()
        seen.append(connection.execute("SELECT count(*), sum(opens) FROM message_facts").fetchone())
print(len(seen), sorted(set(seen)))
"""


def test_another_process_reads_at_any_time_while_partitions_and_warehouse_are_written(
    settings, lake, tested_run, tmp_path
):
    """It never fails, and sees each partition as it was or as it is: here, all its rows have one number of opens."""
    facts = tested_run({"a": (2_000, 5)})
    lake.write(build_campaign_metrics(facts), "campaign_metrics", RUN)

    def write(opens: int) -> None:
        lake.write(facts.with_columns(opens=pl.lit(opens, pl.Int64)), "message_facts", RUN)

    write(0)
    rebuild_warehouse(settings, lake)
    stop = tmp_path / "stop"
    arguments = [sys.executable, "-c", READER, str(settings.warehouse_path), str(stop)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for opens in range(1, 25):
            write(opens)
            if opens % 4 == 0:
                rebuild_warehouse(settings, lake)
        stop.touch()
        told, errors = reader.communicate(timeout=120)
    assert errors == ""
    reads, seen = told.split(" ", 1)
    assert int(reads) >= 3
    for rows, opens in eval(seen):  # what the process above printed
        assert rows == 2_000
        assert opens % 2_000 == 0


def other_process(settings, query: str) -> str:
    """DuckDB shares one instance of a path within a process, so a new reader is another process."""
    program = (
        "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchone()[0])"
    )
    arguments = [sys.executable, "-c", program, str(settings.warehouse_path), query]
    return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_partitions_of_an_earlier_version_show_new_columns_as_unknown(settings, lake):
    earlier = {column: kind for column, kind in AB_RESULTS.items() if column not in ("look", "seq_p")}
    row = pl.DataFrame({name: ["clicked" if name == "metric" else None] for name in earlier}, schema=earlier)
    lake.write(row, "ab_results", f"{RUN}/2026-03-02")
    rebuild_warehouse(settings, lake)
    assert ask(settings, "SELECT metric, look, seq_p FROM ab_results") == [("clicked", None, None)]
