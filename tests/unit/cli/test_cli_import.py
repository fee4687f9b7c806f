"""`contacts import` and `events import` from every source, with dry runs; secrets and people stay out of messages."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

Campaigns = Callable[..., Any]
MAPPED = ("-m", "id=id", "-m", "email=mail", "-m", "attributes=rest")


@pytest.fixture(autouse=True)
def _installed(campaigns: Campaigns) -> None:
    assert campaigns("init").code == 0


def test_a_dry_run_shows_the_rows_and_the_import_follows(campaigns: Campaigns, home: Path) -> None:
    file = home / "people.csv"
    file.write_text("id,mail,points\n1,a@gmial.com,5\n2,bad,x\n,c@x.com,7\n")
    shown = campaigns("contacts", "import", file, *MAPPED, "-m", "types.points=integer", "--dry-run")
    assert shown.code == 0, shown.err
    for text in (
        "would be imported",
        "1 x email domain typo (line 2: gmial.com, perhaps gmail.com)",
        "1 x invalid points (line 3)",
        "types: points integer",
        "email: a@gmial.com",
        "has no valid id",
        "Nothing was written.",
    ):
        assert text in shown.out
    assert not (home / "data" / "rejects").exists()

    done = campaigns("contacts", "import", file, *MAPPED, "-m", "types.points=integer", "--json").json
    assert (done["new"], done["rejected"], done["dry_run"]) == (2, 1, False)
    file.write_text("id,mail,points\n1,a@gmail.com,6\n2,bad,\n")
    planned = campaigns("contacts", "import", file, *MAPPED, "--dry-run", "--json").json
    assert (planned["new"], planned["changed"], planned["unchanged"], planned["dry_run"]) == (0, 1, 1, True)
    assert planned["sample"] == [
        {
            "key": "1",
            "line": 2,
            "change": "changed",
            "fields": {
                "email": ["a@gmial.com", "a@gmail.com"],
                "email_raw": ["a@gmial.com", "a@gmail.com"],
                "points": [5, 6],
            },
        }
    ]
    assert "points: 5 → 6" in campaigns("contacts", "import", file, *MAPPED, "--dry-run").out


def test_every_kind_of_file_comes_in(campaigns: Campaigns, home: Path) -> None:
    frame = pl.DataFrame({"id": ["1", "2"], "mail": ["a@x.com", None], "points": [1, 2]})
    frame.write_parquet(home / "people.parquet")
    frame.write_ndjson(home / "people.data")
    first = campaigns("contacts", "import", home / "people.parquet", *MAPPED, "--json").json
    assert (first["new"], first["types"]) == (2, {"points": "integer"})
    second = campaigns("contacts", "import", home / "people.data", "--format", "jsonl", *MAPPED, "--json").json
    assert second["unchanged"] == 2
    refused = campaigns("contacts", "import", home / "people.data", *MAPPED)
    assert refused.code == 2
    assert "--format" in refused.err or "format" in refused.err
    (home / "people.tsv").write_text("id\tmail\tpoints\n1\t'a\tb'\t2\n3\t'x\ty@x.com'\t\n")
    third = campaigns("contacts", "import", home / "people.tsv", "--quote", "'", *MAPPED, "--json").json
    assert (third["read"], third["new"], third["changed"], third["rejected"]) == (2, 1, 1, 0)


def test_a_database_comes_in_and_its_password_stays_in(
    campaigns: Campaigns, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(home / "shop.db") as connection:
        connection.execute("CREATE TABLE people (id TEXT, mail TEXT)")
        connection.execute("INSERT INTO people VALUES ('1', 'a@x.com')")
    connection.close()
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{home / 'shop.db'}")
    done = campaigns("contacts", "import", "--url-env", "SHOP_URL", "--table", "people", *MAPPED[:4], "--json")
    assert done.json["new"] == 1
    query = "SELECT id AS who, '2026-01-01' AS at, id AS no FROM people"
    events = ("-m", "contact=who", "-m", "event=seen", "-m", "at=at", "-m", "id=no")
    url = f"sqlite:///{home / 'shop.db'}"
    assert campaigns("events", "import", "--url", url, "--query", query, *events, "--json").json["new"] == 1

    secret = "postgresql+psycopg://u:s3cr3t@127.0.0.1:1/shop"
    failed = campaigns("contacts", "import", "--url", secret, "--table", "people", *MAPPED)
    assert failed.code == 2
    assert "postgresql:127.0.0.1/shop:people cannot be read" in failed.err
    assert "s3cr3t" not in failed.out + failed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "what to import is not said"),
        (("a.csv", "--url", "sqlite:///x.db"), "what to import is not said"),
        (("a.csv", "--table", "x"), "--table and --query are of databases"),
        (("--url-env", "NO_SUCH_VARIABLE"), "there is no such variable"),
        (("--url", "sqlite:///x.db"), "a table or of a query"),
        (("--url", "sqlite:///missing.db", "--table", "x"), "unable to open database file"),
        (("missing.csv",), "missing.csv cannot be read"),
    ],
)
def test_a_source_that_is_not_said_or_not_there_is_refused(
    campaigns: Campaigns, arguments: tuple[str, ...], message: str
) -> None:
    refused = campaigns("contacts", "import", *arguments, *MAPPED)
    assert refused.code == 2
    assert message in refused.err


def test_the_name_of_a_person_is_in_no_message(campaigns: Campaigns, home: Path) -> None:
    (home / "people.csv").write_text("id,mail\n1,ann.lee@x.com\n")
    refused = campaigns("contacts", "import", home / "people.csv", "-m", "id=key")
    assert refused.code == 2
    assert "ann" not in refused.out + refused.err
