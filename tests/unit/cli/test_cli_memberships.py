"""`segments evaluate`, `history` and `changes`, as docs/membership.md shows them and as a machine reads them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.paths import PROJECT_DIR

PAGE = (PROJECT_DIR / "docs" / "membership.md").read_text(encoding="utf-8")
SEGMENT = """\
segment: buyers
where: {did: {event: purchase, within: 7d}}
"""
FILES = {
    "people.csv": "no\n1\n2\n3\n",
    "orders.csv": "who,day\n1,2026-02-01\n2,2026-02-01\n2,2026-02-08\n3,2026-02-09\n",
    "mine/segments/buyers.yaml": SEGMENT,
}
ONE, TWO, THREE = (contact_id(number) for number in "123")
MONDAY, LATER = ("--as-of", "2026-02-02"), ("--as-of", "2026-02-10")

Campaigns = Callable[..., Any]


@pytest.fixture
def begun(campaigns: Campaigns, home: Path) -> Campaigns:
    """Three contacts; 1 and 2 bought, then 2 and 3; a segment of buyers."""
    for name, text in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    for command in (
        ("init",),
        ("contacts", "import", "people.csv", "-m", "id=no"),
        ("events", "import", "orders.csv", "-m", "contact=who", "-m", "at=day", "-m", "event=purchase"),
        ("apply", "mine"),
    ):
        assert campaigns(*command).code == 0
    return campaigns


def test_the_page_shows_what_is_printed(begun: Campaigns) -> None:
    shown = re.findall(r"^\$ campaigns (.*)\n((?:[^`$].*\n|\n)*)", PAGE, re.MULTILINE)
    assert len(shown) == 5
    for command, output in shown:
        called = begun(*command.split())
        assert called.code == 0
        assert [line.rstrip() for line in called.out.rstrip().splitlines()] == output.rstrip().splitlines(), command


def test_evaluations_add_up(begun: Campaigns) -> None:
    (first,) = begun("segments", "evaluate", "buyers", *MONDAY, "--json").json
    assert {key: first[key] for key in ("segment", "cause", "members", "entered", "left")} == {
        "segment": "buyers",
        "cause": "first",
        "members": 2,
        "entered": 2,
        "left": 0,
    }
    (second,) = begun("segments", "evaluate", "--all", *LATER, "--json").json
    assert (second["cause"], second["members"], second["entered"], second["left"]) == ("scheduled", 2, 1, 1)
    rows = begun("segments", "history", "buyers", "--json").json
    assert [(row["as_of"], row["members"]) for row in rows] == [
        ("2026-02-10T00:00:00+00:00", 2),
        ("2026-02-02T00:00:00+00:00", 2),
    ]
    assert len(begun("segments", "history", "buyers", "--limit", 1, "--json").json) == 1


def test_changes_are_told_until_they_are_done_with(begun: Campaigns) -> None:
    begun("segments", "evaluate", "buyers", *MONDAY)
    start = begun("segments", "changes", "buyers", "--consumer", "crm", "--json").json
    assert (start["changes"], start["left_out"], start["advanced"]) == ([], [], False)
    begun("segments", "evaluate", "buyers", *LATER)
    read = begun("segments", "changes", "buyers", "--consumer", "crm", "--json").json
    assert {(each["contact_id"], each["change"]) for each in read["changes"]} == {(ONE, "left"), (THREE, "entered")}
    again = begun("segments", "changes", "buyers", "--consumer", "crm", "--advance", "--json").json
    assert again == read | {"advanced": True}
    assert begun("segments", "changes", "buyers", "--consumer", "crm", "--json").json["changes"] == []


def test_what_is_left_out_is_said_and_can_be_had(begun: Campaigns, home: Path) -> None:
    begun("segments", "evaluate", "buyers", *MONDAY)
    new = ("segments", "changes", "buyers", "--consumer", "ads", "--from-beginning")
    shown = begun(*new)
    assert "Left out: evaluation 1, first: 2 entered, 0 left (--rebaselines shows them)." in shown.out
    assert begun(*new, "--json").json["left_out"] == [{"evaluation_id": 1, "cause": "first", "entered": 2, "left": 0}]
    whole = begun(*new, "--rebaselines", "--json").json
    assert {each["contact_id"] for each in whole["changes"]} == {ONE, TWO}
    assert whole["left_out"] == []


def test_more_changes_than_are_shown_are_not_done_with_unseen(
    begun: Campaigns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign_pipeline.cli.memberships.SHOWN", 1)
    begun("segments", "evaluate", "buyers", *MONDAY)
    read = ("segments", "changes", "buyers", "--consumer", "crm", "--from-beginning", "--rebaselines")
    assert "… and 1 more; --json has them all." in begun(*read).out
    refused = begun(*read, "--advance")
    assert (refused.code, refused.err.splitlines()[0]) == (4, "error: 2 changes are more than the 1 that are shown")
    assert len(begun(*read, "--advance", "--json").json["changes"]) == 2


@pytest.mark.parametrize("arguments", [(), ("buyers", "--all")])
def test_which_segments_to_evaluate_is_said_once(begun: Campaigns, arguments: tuple[str, ...]) -> None:
    called = begun("segments", "evaluate", *arguments, "--json")
    assert (called.code, called.json["error"]["hint"]) == (2, "Give one name, or --all.")


def test_an_error_of_one_segment_is_no_success(begun: Campaigns, home: Path) -> None:
    broken = "segment: broken\nwhere: {did: {event: flew}}\n"
    (home / "mine" / "segments" / "broken.yaml").write_text(broken)
    begun("apply", "mine")
    called = begun("segments", "evaluate", "--all", *MONDAY)
    assert called.code == 2
    assert called.err.startswith("error: segment broken: where: event 'flew' is not known")
    assert "buyers" in called.out
    assert begun("segments", "evaluate", "--all", *MONDAY, "--json").json["error"]["type"] == "InvalidInput"


def test_a_segment_that_was_not_evaluated_says_what_to_do(begun: Campaigns) -> None:
    assert "Evaluate it: campaigns segments evaluate buyers" in begun("segments", "history", "buyers").out
    assert begun("segments", "history", "buyers", "--json").json == []
    called = begun("segments", "changes", "buyers", "--consumer", "crm")
    assert (called.code, "campaigns segments evaluate buyers" in called.err) == (3, True)
    assert begun("segments", "history", "byers").code == 3
