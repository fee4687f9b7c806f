"""JSON lines, Parquet and databases as tables: every row ends as a row or as a reject, and secrets stay inside."""

import json
import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.contacts.sources.database import DatabaseRows
from campaign_pipeline.contacts.sources.files import Format, SourceFile
from campaign_pipeline.contacts.sources.json_lines import read_json_lines
from campaign_pipeline.contacts.sources.parquet import read_parquet
from campaign_pipeline.contacts.sources.table import LINE
from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.errors import InvalidInput


def test_json_lines_say_their_types_and_may_lack_names(tmp_path: Path) -> None:
    file = tmp_path / "people.jsonl"
    file.write_text(
        '{"id": "007", "n": 1, "x": 1.5, "ok": true, "mix": 1}\n\n'
        '{"id": "8", "n": 12345678901234567890123, "x": 2.0, " late ": [1, {"a": "ü"}], "mix": "one"}\n',
        "utf-8",
    )
    table = read_json_lines(file)
    assert table.rows.to_dicts() == [
        {LINE: 1, "id": "007", "n": "1", "x": "1.5", "ok": "true", "mix": "1", "late": None},
        {
            LINE: 3, "id": "8", "n": "12345678901234567890123", "x": "2", "ok": None, "mix": "one",
            "late": '[1,{"a":"ü"}]',
        },
    ]  # fmt: skip
    assert table.types == {
        "id": ValueType.STRING,
        "n": ValueType.STRING,  # one is more than 64 bits hold
        "x": ValueType.NUMBER,
        "ok": ValueType.BOOLEAN,
        "mix": ValueType.STRING,
        "late": ValueType.STRING,
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": 1', "is not JSON: Expecting ',' delimiter at character 10"),
        ("[1]", "is not a JSON object"),
        ('{"id": 1, "id": 2}', "names 'id' twice"),
        ('{"id": NaN}', "holds NaN, which is no JSON number"),
        ('{"id": "\\ud800"}', "holds half a surrogate pair, which is no character"),
        ('{"id": "a\\u0000b"}', "holds a NUL character"),
        ("[" * 100_000, "is nested too deep"),
        ('{"id": ' + "1" * 5000 + "}", "holds a number with too many digits"),
    ],
)
def test_a_line_that_is_no_contact_is_a_reject_with_its_line(tmp_path: Path, line: str, reason: str) -> None:
    file = tmp_path / "people.jsonl"
    file.write_text(f'{{"id": "good"}}\n{line}\n{{"id": "\\ud83d\\ude00"}}\n')
    table = read_json_lines(file)
    assert table.rows.rows() == [(1, "good"), (3, "😀")]
    assert [(reject.line, reject.reason) for reject in table.rejects] == [(2, reason)]


@pytest.mark.parametrize(("content", "why"), [("", "holds no objects"), ('[\n{"id": 1}\n', "line 1 is not JSON")])
def test_a_file_without_an_object_is_refused(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "people.jsonl"
    file.write_text(content.replace('{"id": 1}', ""))
    with pytest.raises(InvalidInput, match=why):
        read_json_lines(file)


values = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.fixed_dictionaries({"a": values, "b": values}), min_size=1, max_size=10))
def test_what_json_wrote_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    file = tmp_path_factory.mktemp("json") / "in.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    table = read_json_lines(file)

    def text(value: object) -> str | None:
        if isinstance(value, bool):
            return "true" if value else "false"
        return None if value is None else str(value)

    kept = [row for row in rows if not any(isinstance(value, str) and "\0" in value for value in row.values())]
    assert table.rows.select("a", "b").to_dicts() == [{k: text(v) for k, v in row.items()} for row in kept]
    assert len(table.rejects) == len(rows) - len(kept)


def test_parquet_columns_keep_their_types_as_text(tmp_path: Path) -> None:
    file = tmp_path / "people.parquet"
    frame = pl.DataFrame(
        {
            "id": [7.0, 8.5],  # a tool without nulls made numbers of ids
            "n": pl.Series([1, None], dtype=pl.Int16),
            "ok": [True, None],
            "money": pl.Series([Decimal("1.10"), None]),
            "day": [date(2026, 3, 2), None],
            "at": pl.Series([datetime(2026, 3, 2, 9, tzinfo=UTC), None], dtype=pl.Datetime("ms", "UTC")),
            "local": pl.Series(["2026-03-02 09:30", None]).str.to_datetime(),
            "kind": pl.Series(["a", None], dtype=pl.Categorical),
            "many": [["x", "y"], None],
            "deep": [{"a": 1}, {"a": None}],
            "nothing": [None, None],
            "bytes": [b"text", None],
        }
    )
    frame.write_parquet(file)
    table = read_parquet(file)
    first, second = table.rows.to_dicts()
    assert first == {
        LINE: 1, "id": "7", "n": "1", "ok": "true", "money": "1.10", "day": "2026-03-02",
        "at": "2026-03-02T09:00:00.000000Z", "local": "2026-03-02T09:30:00.000000", "kind": "a",
        "many": '["x","y"]', "deep": '{"a":1}', "nothing": None, "bytes": "text",
    }  # fmt: skip
    assert (second["id"], second["n"], second["at"]) == ("8.5", None, None)
    assert {name: kind.value for name, kind in table.types.items()} == {
        "id": "number", "n": "integer", "ok": "boolean", "money": "number", "day": "date", "at": "string",
        "local": "string", "kind": "string", "many": "string", "deep": "string", "bytes": "string",
    }  # fmt: skip


def test_parquet_cells_that_are_no_text_are_rejects(tmp_path: Path) -> None:
    file = tmp_path / "people.parquet"
    pl.DataFrame({"id": [b"one", b"\xff", b"th\0ree"], "x": ["a", "b", "c"]}).write_parquet(file)
    table = read_parquet(file)
    assert table.rows.rows() == [(1, "one", "a")]
    assert [(reject.line, reject.reason) for reject in table.rejects] == [
        (2, "holds bytes that are not UTF-8"),
        (3, "holds a NUL character"),
    ]


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "people.parquet"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match="cannot be read as Parquet"):
        read_parquet(file)


def test_the_name_says_what_a_file_is_unless_the_user_does(tmp_path: Path) -> None:
    assert SourceFile(Path("a.NDJSON")).kind() is Format.JSONL
    assert SourceFile(Path("a.txt"), Format.PARQUET).kind() is Format.PARQUET
    assert SourceFile(Path("a.tsv")).settings() == ("csv", "tab", "utf-8", '"', "")
    with pytest.raises(InvalidInput, match=r"what a\.dat is does not follow"):
        SourceFile(Path("a.dat")).kind()


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "shop%.db"
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE TABLE "my people" (id INTEGER, mail TEXT, points REAL, raw BLOB)')
        connection.executemany('INSERT INTO "my people" VALUES (?, ?, ?, ?)', [(1, "a%@x.com", 2.0, b"x"), (2,) * 4])
    connection.close()
    return f"sqlite:///{path}"


def test_a_table_or_a_query_gives_rows(shop: str) -> None:
    table = DatabaseRows(shop, table="my people").read()
    assert table.rows.rows() == [(1, "1", "a%@x.com", "2", "x"), (2, "2", "2", "2", "2")]
    assert table.types["id"] is ValueType.INTEGER
    query = DatabaseRows(shop, query="SELECT id, '10:30 :x' AS t FROM \"my people\" WHERE mail LIKE 'a%' -- 100%")
    assert query.read().rows.rows() == [(1, "1", "10:30 :x")]
    assert query.content() != DatabaseRows(shop, query='SELECT id FROM "my people"').content()
    assert DatabaseRows(shop, query="SELECT 1 AS id WHERE 0").read().rows.columns == [LINE, "id"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ('SELECT id, mail AS id FROM "my people"', "names 'id' twice"),
        ("UPDATE \"my people\" SET mail = 'x'", "readonly"),
        ('DELETE FROM "my people" RETURNING id', "readonly"),
        ("CREATE TABLE other (a)", "readonly"),
        ("SELECT 1; SELECT 2", "one statement"),
    ],
)
def test_a_query_that_gives_no_rows_or_would_write_is_refused(shop: str, query: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        DatabaseRows(shop, query=query).read()
    assert len(DatabaseRows(shop, table="my people").read().rows) == 2


def test_postgres_is_read_without_a_right_to_write(postgres_engine: sa.Engine, postgres_url: str) -> None:
    with postgres_engine.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE people (id bigint, ok boolean, n numeric(9,2), at timestamptz, j jsonb)")
        )
        first = "INSERT INTO people VALUES (1, true, 1.50, '2026-03-02 09:00+01', '{\"a\": [1]}')"
        connection.execute(sa.text(first))
        connection.execute(sa.text("INSERT INTO people VALUES (2)"))
        connection.execute(sa.text("CREATE SEQUENCE numbers"))
    table = DatabaseRows(postgres_url, table="public.people").read()
    assert table.rows.columns == [LINE, "id", "ok", "n", "at", "j"]
    line, identity, ok, number, at, document = table.rows.row(0)
    assert (line, identity, ok, number, document) == (1, "1", "true", "1.50", '{"a":[1]}')
    assert datetime.fromisoformat(at) == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert table.rows.row(1) == (2, "2", None, None, None, None)
    assert table.types == {
        "id": ValueType.INTEGER, "ok": ValueType.BOOLEAN, "n": ValueType.NUMBER, "at": ValueType.STRING,
        "j": ValueType.STRING,
    }  # fmt: skip
    with pytest.raises(InvalidInput, match=r"nextval\(\) in a read-only transaction"):
        DatabaseRows(postgres_url, query="SELECT nextval('numbers')").read()
    for query in ("DELETE FROM people RETURNING id", "CREATE TABLE x (a int)", "SELECT id INTO other FROM people"):
        with pytest.raises(InvalidInput, match="cannot be read"):
            DatabaseRows(postgres_url, query=query).read()
    assert len(DatabaseRows(postgres_url, table="people").read().rows) == 2
    with pytest.raises(InvalidInput, match=r"DivisionByZero\n"):  # of a value, only the kind of trouble is told
        DatabaseRows(postgres_url, query="SELECT 1 / (id - 1) FROM people").read()


def test_a_password_is_in_no_name_message_or_repr(postgres_url: str) -> None:
    secret = "s3cr3t/%25 word"
    host = sa.make_url(postgres_url)
    urls = [
        host.set(username="nobody", password=secret).render_as_string(hide_password=False),
        sa.URL.create("postgresql+psycopg", "u", secret, "127.0.0.1", 1, "db").render_as_string(hide_password=False),
        sa.URL.create("mysql+nowhere", "u", secret, "h", 1, "db").render_as_string(hide_password=False),
        sa.URL.create("postgresql+psycopg", host="127.0.0.1", port=1, query={"password": secret}).render_as_string(
            hide_password=False
        ),
    ]
    for url in urls:
        source = DatabaseRows(url, table="people")
        with pytest.raises(InvalidInput) as caught:
            source.read()
        told = f"{source!r} {source.name} {source} {caught.value} {caught.value.hint}"
        for part in ("s3cr3t", "%2525", "word"):
            assert part not in told.replace("password", ""), told
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
    with pytest.raises(InvalidInput) as caught:
        DatabaseRows(f"not a url {secret}", table="people")
    assert "s3cr3t" not in str(caught.value)


def test_text_that_is_not_utf_8_is_told_without_quoting_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
        connection.execute("INSERT INTO people VALUES (CAST(x'416e6eff' AS TEXT))")
    connection.close()
    with pytest.raises(InvalidInput, match="not UTF-8") as caught:
        DatabaseRows(f"sqlite:///{path}", table="people").read()
    assert "Ann" not in str(caught.value)


def test_one_of_table_and_query_is_given() -> None:
    for how in ({}, {"table": "a", "query": "SELECT 1"}):
        with pytest.raises(InvalidInput, match="a table or of a query"):
            DatabaseRows("sqlite:///x.db", **how)
