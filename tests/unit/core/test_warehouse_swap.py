"""The warehouse is swapped in whole, or not at all."""

from pathlib import Path

import duckdb
import pytest

from campaign_pipeline.core.warehouse import swap_in


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "warehouse.duckdb"


def build(path: Path, value: int) -> None:
    swap_in(path, lambda connection: connection.execute(f"CREATE TABLE facts AS SELECT {value} AS n") and None)


def newest(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.sql("FROM facts").fetchall()[0][0]


def test_the_first_one_is_made_with_its_folder(path: Path) -> None:
    build(path, 1)
    assert newest(path) == 1
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_keeps_the_file_that_it_has_open(path: Path) -> None:
    build(path, 1)
    # Its own name for the database: DuckDB shares one instance of a path within a process.
    reader = duckdb.connect(":memory:")
    reader.execute(f"ATTACH '{path}' AS warehouse (READ_ONLY)")
    assert reader.sql("FROM warehouse.facts").fetchall() == [(1,)]
    build(path, 2)
    assert reader.sql("FROM warehouse.facts").fetchall() == [(1,)]
    reader.close()
    assert newest(path) == 2


def test_a_failing_build_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    build(path, 1)

    def fail(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE TABLE facts AS SELECT 2 AS n")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        swap_in(path, fail)
    assert newest(path) == 1
    assert list(path.parent.iterdir()) == [path]


def test_a_failing_first_build_leaves_nothing(path: Path) -> None:
    with pytest.raises(duckdb.Error):
        swap_in(path, lambda connection: connection.execute("SELECT * FROM gone") and None)
    assert list(path.parent.iterdir()) == []
