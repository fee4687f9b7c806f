"""docs/contacts.md: its commands are called in its order, and do what the page says."""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.core.words import SuppressionReason

PAGE = (PROJECT_DIR / "docs" / "contacts.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in re.findall(r"^\$ campaigns (.*)$", PAGE, re.MULTILINE)]
FILES = dict(
    zip(("people.csv", "unsubscribed.csv", "guests.csv"), re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL), strict=True)
)
IMPORT = re.findall(r"`campaigns (contacts import [^`]*)`", PAGE)[0]

Campaigns = Callable[..., Any]


@pytest.fixture
def json_of(home: Path, campaigns: Campaigns) -> Campaigns:
    """`json_of("lists", "show")`: the JSON of a command, in a folder with the page's files."""
    for name, text in FILES.items():
        (home / name).write_text(text, encoding="utf-8")

    def call(*words: str) -> Any:
        found = campaigns(*words, "--json")
        assert found.code == 0, (words, found.out)
        return found.json

    return call


@pytest.fixture
def called(json_of: Campaigns) -> Campaigns:
    """The same with the page's contacts."""
    begin(json_of)
    return json_of


def begin(json_of: Campaigns) -> None:
    json_of("init")
    json_of(*shlex.split(IMPORT))


@pytest.fixture(scope="module")
def after() -> dict[int, Path]:
    """Copies of the folder as the first so many commands of the page left it."""
    return {}


def test_every_command_of_the_page_does_what_it_says(called: Campaigns, campaigns: Campaigns, home: Path) -> None:
    results = {" ".join(words): called(*words) for words in COMMANDS}

    def of(start: str) -> list[Any]:
        return [result for command, result in results.items() if command.startswith(start)]

    then, newsletter = of("contacts could-send")
    assert (then["could_send"], then["consent"]) == (False, None), "nothing had been recorded on that day"
    assert (newsletter["could_send"], newsletter["consent"]) == (False, None)
    now = called("contacts", "could-send", "10042", "--channel", "email")
    assert now["could_send"]
    assert now["consent_evidence"] == {"form": "https://shop.example/news", "text_version": "2026-01", "by": "ann"}
    sms = called("contacts", "could-send", "10043", "--channel", "sms")
    assert (sms["consent"], sms["consent_evidence"]["said_at"]) == ("withdrawn", "2026-03-01T10:30:00+00:00")
    assert [held["reason"] for held in sms["suppressions"]] == ["manual"]
    [asked] = of("contacts ask-consent")
    assert asked["state"] == "pending"
    assert "/c/" in asked["url"]

    counts, of_bob = of("suppressions list")
    assert {(row["channel"], row["topic"], row["addresses"]) for row in counts} == {
        ("email", "newsletter", 1),
        ("every", "", 1),
    }
    assert [(row["topic"], row["reason"]) for row in of_bob] == [("newsletter", "manual")]
    assert called("suppressions", "list", "bob@example.com") == []
    [imported] = of("suppressions import")
    assert (imported["added"], imported["rejected"]) == (1, 1)
    [exported] = of("suppressions export")
    assert exported["rows"] == 2
    assert (home / "suppressed.csv").read_text().startswith("address,channel,topic,reason")

    first, second = of("lists add")
    assert (first["added"], second["added"], second["unknown"], second["contacts"]) == (2, 1, 1, 3)
    assert [(row["name"], row["contacts"]) for row in called("lists", "show")] == [("vip-guests", 2)]
    assert called("tags", "show") == []

    listed = {row["attribute"]: row["type"] for row in of("attributes list")[0]}
    assert listed == {"plan": "string", "visits": "integer", "postal_code": "string"}
    after = {row["attribute"]: row for row in called("attributes", "list")}
    assert (after["visits"]["type"], after["visits"]["contacts"]) == ("number", None)
    assert after["plan"]["description"].startswith("What they pay for")
    assert after["postal_code"]["declared_by"] == "ann"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_speaks_to_people_too(
    json_of: Campaigns,
    campaigns: Campaigns,
    words: list[str],
    home: Path,
    after: dict[int, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Prepared by those before it; a table or a sentence, and no more than the command was given of an address."""
    place = COMMANDS.index(words)
    start = max((done for done in after if done <= place), default=-1)
    if start < 0:
        begin(json_of)
    else:
        shutil.copytree(after[start], home, dirs_exist_ok=True)
    for before in COMMANDS[max(start, 0) : place]:
        json_of(*before)
    after[place] = shutil.copytree(home, tmp_path_factory.mktemp("after") / "home")
    found = campaigns(*words)
    assert found.code == 0, found.err
    assert found.out.strip()
    assert not [address for address in ("ann@example.com", "zoe@example.com") if address in found.out]


def test_errors_say_what_to_do(called: Campaigns, campaigns: Campaigns) -> None:
    for words, code, says in (
        ("contacts could-send 99 --channel email", 3, "no contact '99'"),
        ("suppressions lift ann@example.com", 3, "suppressions list ADDRESS"),
        ("suppressions add pigeon", 2, "neither an e-mail address nor a phone number"),
        ("suppressions add ann@example.com --until 2020-01-01", 2, "has passed"),
        ("suppressions add ann@example.com --reason erased", 2, "Erase the contact"),
        ("lists show vip", 3, "there is no list 'vip'"),
        ("lists add vip", 2, "who is meant is not said"),
        ("lists remove vip 10042 --all", 2, "--all leaves nobody to name"),
        ("attributes describe plam text", 3, "Did you mean 'plan'?"),
        ("attributes retype plan integer", 2, "not of type integer"),
    ):
        found = campaigns(*words.split())
        assert (found.code, says in found.err) == (code, True), (words, found.err)


def test_every_reason_is_explained() -> None:
    assert [reason for reason in SuppressionReason if f"| `{reason}` |" not in PAGE] == []
