"""Contact tables: taken in from three kinds of files, replaced as a whole, by contact."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.messages.contact_tables import (
    ImportedTable,
    import_table,
    item_type,
    read_contact_table,
    summary,
)

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
ANN, BOB = contact_id("1001"), contact_id("1002")
CSV = f"who,title,price,code\n1002,Lamp,19.90,007\n1001,Chair,,x\n9999,Sofa,1,\n{BOB},Table,5,1\n,Bed,2,\n1001\n"


@pytest.fixture(params=["engine", "postgres_engine"])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    engine: sa.Engine = request.getfixturevalue(request.param)
    known = [
        {"contact_id": contact_id(key), "external_id": key, "attributes": {}, "created_at": AT, "updated_at": AT}
        for key in ("1001", "1002", "1003")
    ]
    with writing(engine) as connection:
        connection.execute(sa.insert(contacts), known)
    return engine


def load(database: sa.Engine, lake: Lake, file: Path, key: str = "who", columns: tuple[str, ...] = ()) -> ImportedTable:
    with reading(database) as connection:
        return import_table(
            connection, lake, "recs", file, key=key, columns=columns, rejects_path=file.with_suffix(".rejects")
        )


def items(lake: Lake) -> dict[str, list[dict[str, object]]]:
    table = read_contact_table(lake, "recs")
    assert table["contact_id"].is_sorted()
    return dict(table.rows())


def test_the_rows_of_a_csv_file_by_contact(database: sa.Engine, lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text(CSV)
    result = load(database, lake, file)
    assert (result.read, result.taken, result.contacts, result.rejected) == (6, 3, 2, 3)
    assert result.columns == {"title": "String", "price": "Float64", "code": "String"}
    assert items(lake) == {
        ANN: [{"title": "Chair", "price": None, "code": "x"}],
        BOB: [{"title": "Lamp", "price": 19.9, "code": "007"}, {"title": "Table", "price": 5.0, "code": "1"}],
    }
    assert result.rejects_path is not None
    assert [line.partition(',"')[0] for line in result.rejects_path.read_text().splitlines()[1:]] == [
        "4,who: no contact has this id",
        "6,who: no contact has this id",
        "7,has 1 cells where the header has 4,1001",
    ]


def test_an_import_replaces_the_table(database: sa.Engine, lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text(CSV)
    load(database, lake, file)
    file.write_text("who,title,rank\n1001,Rug,1\n")
    load(database, lake, file, columns=("rank",))
    assert items(lake) == {ANN: [{"rank": 1}]}
    assert item_type(lake, "recs") == pl.Struct({"rank": pl.Int64()})
    assert summary(lake).rows() == [("recs", 1, 1, "rank")]


def test_parquet_and_json_lines_keep_their_types(database: sa.Engine, lake: Lake, tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [1002, 1001, 1002, 5], "price": [1.5, 2.0, None, 1.0], "tags": [["a"], [], ["b"], []]})
    frame.write_parquet(tmp_path / "items.parquet")
    frame.write_ndjson(tmp_path / "items.jsonl")
    expected = {
        ANN: [{"price": 2.0, "tags": []}],
        BOB: [{"price": 1.5, "tags": ["a"]}, {"price": None, "tags": ["b"]}],
    }
    for name in ("items.parquet", "items.jsonl"):
        result = load(database, lake, tmp_path / name, key="id")
        assert (result.taken, result.rejected, items(lake)) == (3, 1, expected)


@pytest.mark.parametrize(
    ("name", "text", "key", "columns", "problem"),
    [
        ("a.csv", "who,title\n1001,x\n", "id", (), "has no column 'id'"),
        ("a.csv", "who,title\n1001,x\n", "who", ("titel",), "has no column 'titel'"),
        ("a.csv", "who\n1001\n", "who", (), "has no column but the key 'who'"),
        ("a.jsonl", "not json", "who", (), "is not a jsonl file"),
        ("a.parquet", "not parquet", "who", (), "is not a parquet file"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(
    engine: sa.Engine,
    lake: Lake,
    tmp_path: Path,
    name: str,
    text: str,
    key: str,
    columns: tuple[str, ...],
    problem: str,
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=problem):
        load(engine, lake, tmp_path / name, key, columns)
    with pytest.raises(InvalidInput, match="cannot be read"):
        load(engine, lake, tmp_path / f"none{Path(name).suffix}", key, columns)
    with pytest.raises(NotFound, match="contact table 'recs' does not exist"):
        read_contact_table(lake, "recs")
