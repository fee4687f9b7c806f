"""The big list of naughty strings in every field of a contact, through every kind of source, into both databases."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.mapping import ContactMapping, mapping_from_pairs
from campaign_pipeline.contacts.snapshot import write_snapshot
from campaign_pipeline.contacts.sources import Source
from campaign_pipeline.contacts.sources.database import DatabaseRows
from campaign_pipeline.contacts.sources.files import SourceFile
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import contacts

MAPPING = mapping_from_pairs(
    [
        *("id=id", "email=text", "phone=text", "first_name=text", "last_name=text"),
        *("attributes.text=text", "types.text=string", "consent.email=granted"),
    ],
    ContactMapping,
)
Rows = list[tuple[str, str]]


def as_csv(folder: Path, rows: Rows) -> Source:
    file = folder / "hostile.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("id", "text"), *rows])
    return SourceFile(file)


def as_json(folder: Path, rows: Rows) -> Source:
    file = folder / "hostile.jsonl"
    file.write_text("".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in rows), "utf-8")
    return SourceFile(file)


def as_parquet(folder: Path, rows: Rows) -> Source:
    file = folder / "hostile.parquet"
    pl.DataFrame(rows, ["id", "text"], orient="row").write_parquet(file)
    return SourceFile(file)


def as_table(folder: Path, rows: Rows) -> Source:
    url = f"sqlite:///{folder / 'hostile.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE hostile (id TEXT, text TEXT)"))
        connection.execute(
            sa.text("INSERT INTO hostile VALUES (:id, :text)"), [{"id": key, "text": text} for key, text in rows]
        )
    engine.dispose()
    return DatabaseRows(url, table="hostile")


@pytest.mark.parametrize("database", ["engine", "postgres_engine"])
@pytest.mark.parametrize("write", [as_csv, as_json, as_parquet, as_table])
def test_hostile_strings_come_in_as_they_are(
    request: pytest.FixtureRequest,
    lake: Lake,
    shared_data: Path,
    tmp_path: Path,
    database: str,
    write: Callable[[Path, Rows], Source],
) -> None:
    engine: sa.Engine = request.getfixturevalue(database)
    strings: list[str] = json.loads((shared_data / "contacts" / "blns.json").read_text("utf-8"))
    # The list as it is, then each as a key, then lines that end a COPY, each with another contact's row after it.
    texts = [*strings, "\\.", "\\.\n\\.", "a\n\\.\nb", '"', "\\N"]
    rows = [(f"key {number}", text) for number, text in enumerate(texts)]
    rows += [(f"{text}!{number}", "x") for number, text in enumerate(texts)]
    result = import_contacts(
        engine,
        write(tmp_path, rows),
        MAPPING,
        clock=lambda: datetime(2026, 3, 2, tzinfo=UTC),
        rejects_path=tmp_path / "rejects.csv",
    )

    assert (result.read, result.new, result.rejected) == (len(rows), len(rows), 0)
    with engine.connect() as connection:
        query = sa.select(contacts.c.external_id, contacts.c.first_name, contacts.c.last_name, contacts.c.email_raw)
        found = {row[0]: row[1:] for row in connection.execute(query)}
        stored = dict(
            connection.execute(sa.select(contacts.c.external_id, contacts.c.attributes["text"].as_string())).all()
        )
    spaces = "".join(chr(code) for code in range(0x3001) if chr(code).isspace() and code not in range(0x1C, 0x20))
    for key, text in rows:
        plain = text.strip(spaces) or None
        assert found[key.strip(spaces)] == (plain, plain, plain), key
        assert stored[key.strip(spaces)] == plain
    snapshot = write_snapshot(engine, lake)
    assert set(snapshot["first_name"].drop_nulls()) == {text.strip(spaces) for _, text in rows} - {""}
