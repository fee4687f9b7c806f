"""`contacts export` and `contacts erase`: what is printed, what is asked, and when the exit code is 0."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Campaigns = Callable[..., Any]


@pytest.fixture(autouse=True)
def _ann(campaigns: Campaigns, home: Path) -> None:
    assert campaigns("init").code == 0
    file = home / "people.csv"
    file.write_text("id,mail,tier\nann-1,Ann@People.test,gold\nbob-2,bob@people.test,silver\n")
    assert campaigns("contacts", "import", file, "-m", "id=id", "-m", "email=mail", "-m", "attributes=rest").code == 0


def test_an_export_is_one_json_object(campaigns: Campaigns) -> None:
    for arguments in (("ann-1",), ("ann-1", "--json")):
        exported = campaigns("contacts", "export", *arguments)
        assert exported.code == 0
        (row,) = exported.json["held"]["table contacts"]
        assert (row["email"], row["email_raw"], row["attributes"]) == (
            "ann@people.test",
            "Ann@People.test",
            {"tier": "gold"},
        )
        assert exported.json["held"]["lake messages"] == []
        assert "bob" not in exported.out


def test_erasing_must_be_confirmed(campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch) -> None:
    assert campaigns("contacts", "erase", "ann-1", "--json").code == 4
    monkeypatch.setattr("typer.confirm", lambda _question: False)
    refused = campaigns("contacts", "erase", "ann-1")
    assert (refused.code, "nothing was erased" in refused.err) == (4, True)
    assert campaigns("contacts", "export", "ann-1").code == 0
    monkeypatch.setattr("typer.confirm", lambda _question: True)
    assert campaigns("contacts", "erase", "ann-1").code == 0
    assert campaigns("contacts", "export", "ann-1").code == 3
    assert campaigns("contacts", "export", "bob-2").code == 0


def test_what_was_erased_is_counted(campaigns: Campaigns) -> None:
    erased = campaigns("contacts", "erase", "ann-1", "--yes", "--json")
    assert erased.code == 0
    assert erased.json["stores"] == {"table contacts": 1}
    assert erased.json["resumed"] is False
    again = campaigns("contacts", "erase", "ann-1", "--yes", "--json")
    assert (again.code, again.json["error"]["type"]) == (3, "NotFound")
    assert "people.test" not in erased.out + erased.err + again.out + again.err
