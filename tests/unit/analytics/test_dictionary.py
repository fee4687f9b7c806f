"""The data dictionary says what is there: every table and column, of its type, explained, and nothing else."""

from pathlib import Path

import duckdb
import pytest

from campaign_pipeline.analytics.dictionary import as_markdown, heads, tables
from campaign_pipeline.analytics.heads import read_head
from campaign_pipeline.analytics.table_schemas import ATTRIBUTION, CONVERSION_EVENTS
from campaign_pipeline.analytics.warehouse import VIEWS, rebuild_warehouse
from campaign_pipeline.core.errors import Inconsistent
from campaign_pipeline.core.paths import PROJECT_DIR

TABLES = {each.name: each for each in tables()}
KEPT = [each for each in TABLES.values() if each.kept]


def test_the_page_is_as_it_would_be_written_now() -> None:
    """If this fails: make docs."""
    assert (PROJECT_DIR / "docs" / "data-dictionary.md").read_text(encoding="utf-8") == as_markdown()


def test_every_view_of_the_warehouse_is_in_it_with_its_columns_and_types(settings, lake) -> None:
    rebuild_warehouse(settings, lake)
    assert {each.name for each in KEPT} == set(VIEWS)
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        for each in KEPT:
            described = [row[:2] for row in connection.execute(f"DESCRIBE {each.name}").fetchall()]
            assert [(column.name, column.type) for column in each.columns] == described


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_column_is_explained(name: str) -> None:
    assert [column.name for column in TABLES[name].columns if not column.meaning] == []
    assert TABLES[name].title
    assert TABLES[name].sections["Grain"]


@pytest.mark.parametrize("name", sorted(VIEWS.keys() & heads().keys()))
def test_no_column_is_invented(name: str) -> None:
    assert set(heads()[name].columns) == set(VIEWS[name])
    assert {"Inputs", "Grain", "Source"} <= heads()[name].sections.keys()


def test_steps_between_are_in_it_too() -> None:
    assert list(heads()["attribution"].columns) == list(ATTRIBUTION)
    assert set(heads()["conversion_events"].columns) == set(CONVERSION_EVENTS)
    assert {name for name in heads() if name not in VIEWS} == {each.name for each in TABLES.values() if not each.kept}


def test_a_head_is_read_as_people_read_it(tmp_path: Path) -> None:
    file = tmp_path / "things.sql"
    file.write_text(
        "-- things: what there is,\n-- in two lines.\n--\n"
        "-- Inputs   facts     rows\n--          more      of them\n"
        "-- Params   $run_id\n"
        "-- Output   a, b\n"
        "--          c, d,\n"
        "--          e      shared by three;\n"
        "--                 it goes on\n"
        "--          f_1, g\n"
        "--                 below its names: a, b\n"
        "-- Rule     none\n\n-- Output   x\nSELECT 1\n"
    )
    head = read_head(file)
    assert head.title == "what there is, in two lines"
    assert head.sections == {"Inputs": "facts     rows more      of them", "Params": "$run_id", "Rule": "none"}
    shared = dict.fromkeys("cde", "shared by three; it goes on")
    assert head.columns == {"a": "", "b": "", **shared, **dict.fromkeys(("f_1", "g"), "below its names: a, b")}


def test_a_head_that_names_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.sql").write_text("-- things: what there is.\n--\nSELECT 1\n")
    with pytest.raises(Inconsistent, match="other"):
        read_head(tmp_path / "other.sql")
