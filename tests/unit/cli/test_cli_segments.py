"""Segments on the command line: previews of drafts, explanations and differences."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign_pipeline.core.ids import contact_id

Campaigns = Callable[..., Any]

BUYERS = """\
segment: buyers
where:
  all:
    - did: {event: purchase, within: 30d}
    - trait: {field: town, in: [Graz]}
"""
SUMS = "segment: sums\nwhere:\n  did: {event: purchase, sum: {prop: amount, gte: 12.5}}\n"
AS_OF = ("--as-of", "2026-02-10")


@pytest.fixture
def shop(campaigns: Campaigns, home: Path) -> Campaigns:
    """Three contacts, two of whom bought, and the segments buyers and sums."""
    (home / "people.csv").write_text(
        "no,mail,town\n1,ann@example.com,Graz\n2,bob@example.com,Wien\n3,eve@example.com,Graz\n"
    )
    (home / "orders.csv").write_text("who,day,amount\n1,2026-02-01,10\n1,2026-02-05,20\n2,2026-02-05,3.5\n")
    (home / "mine" / "segments").mkdir(parents=True)
    (home / "mine" / "segments" / "buyers.yaml").write_text(BUYERS)
    (home / "mine" / "segments" / "sums.yaml").write_text(SUMS)
    for arguments in (
        ("init",),
        ("apply", "mine"),
        ("contacts", "import", "people.csv", "-m", "id=no", "-m", "email=mail", "-m", "attributes=rest"),
        ("events", "import", "orders.csv", "-m", "contact=who", "-m", "at=day", "-m", "event=purchase", "-m",
         "properties=rest"),
    ):  # fmt: skip
        called = campaigns(*arguments)
        assert called.code == 0, called.err
    return campaigns


def test_a_draft_is_previewed_without_applying_it(shop: Campaigns, home: Path) -> None:
    (home / "draft.yaml").write_text("segment: draft\nwhere:\n  not: {segment: buyers}\n")
    seen = shop("segments", "preview", "--file", "draft.yaml", *AS_OF, "--json").json
    assert (seen["segment"], seen["count"], seen["total"]) == ("draft", 2, 3)
    assert shop("segments", "preview", "draft", *AS_OF, "--json").json["error"]["type"] == "NotFound"
    assert "in segment buyers" in shop("segments", "preview", "--file", "draft.yaml", *AS_OF).out


def test_a_draft_stands_for_its_namesake(shop: Campaigns, home: Path) -> None:
    (home / "draft.yaml").write_text(BUYERS.replace("Graz", "Wien"))
    assert shop("segments", "preview", "--file", "draft.yaml", *AS_OF, "--json").json["sample"] == [contact_id("2")]
    assert shop("segments", "preview", "buyers", *AS_OF, "--json").json["sample"] == [contact_id("1")]


@pytest.mark.parametrize("arguments", [(), ("buyers", "--file", "draft.yaml")])
def test_what_to_preview_must_be_clear(shop: Campaigns, arguments: tuple[str, ...]) -> None:
    called = shop("segments", "preview", *arguments, "--json")
    assert (called.code, called.json["error"]["message"]) == (2, "what to preview is not clear")


def test_a_draft_that_is_wrong_names_file_and_line(shop: Campaigns, home: Path) -> None:
    (home / "draft.yaml").write_text("segment: draft\nwhere:\n  did: {evnt: purchase}\n")
    called = shop("segments", "preview", "--file", "draft.yaml", "--json")
    assert called.code == 2
    assert called.json["error"]["message"].startswith("draft.yaml:3: where.did")


def test_an_explanation_is_a_tree_with_values(shop: Campaigns) -> None:
    shown = shop("segments", "explain", "buyers", "1", *AS_OF)
    assert shown.code == 0
    lines = [line.strip() for line in shown.out.splitlines()]
    assert lines[0] == f"Contact {contact_id('1')} is in buyers as of 2026-02-10 00:00 UTC."
    assert lines[1] == "yes  all of"
    assert lines[2].endswith(
        "did purchase within 30d  (count: 2, first: 2026-02-01 00:00 UTC, last: 2026-02-05 00:00 UTC)"
    )
    assert lines[3].endswith("yes  town is one of Graz  (town: Graz)")


def test_an_explanation_for_machines_has_numbers_and_times(shop: Campaigns) -> None:
    seen = shop("segments", "explain", "sums", contact_id("2"), *AS_OF, "--json").json
    assert (seen["contact_id"], seen["is_member"], seen["as_of"]) == (
        contact_id("2"),
        False,
        "2026-02-10T00:00:00+00:00",
    )
    (line,) = seen["lines"]
    assert line["matches"] is False
    assert line["evidence"] == {
        "count": 1,
        "sum of amount": 3.5,
        "first": "2026-02-05T00:00:00+00:00",
        "last": "2026-02-05T00:00:00+00:00",
    }
    assert (
        "total amount at least 12.5  (count: 1, sum of amount: 3.5, first"
        in shop("segments", "explain", "sums", "2", *AS_OF).out
    )


def test_a_contact_that_is_not_there_is_said(shop: Campaigns) -> None:
    called = shop("segments", "explain", "buyers", "99", "--json")
    assert called.code == 3
    assert called.json["error"]["message"] == "contact '99' is not in the contact snapshot"


def test_a_diff_says_who_enters_and_leaves(shop: Campaigns, home: Path) -> None:
    changed = BUYERS.replace("Graz", "Wien")
    (home / "mine" / "segments" / "buyers.yaml").write_text(changed)
    for file in ("mine", "mine/segments/buyers.yaml"):
        seen = shop("segments", "diff", "buyers", "--file", file, *AS_OF, "--json").json
        assert (seen["before"], seen["after"], seen["entering"], seen["leaving"]) == (1, 1, 1, 1)
        assert (seen["entering_sample"], seen["leaving_sample"]) == ([contact_id("2")], [contact_id("1")])
        marked = [(line["change"], line["text"]) for line in seen["lines"] if line["change"] != " "]
        assert marked == [("-", "town is one of Graz"), ("+", "town is one of Wien")]
    shown = shop("segments", "diff", "buyers", "--file", "mine", *AS_OF).out
    assert "1 contacts now, 1 then; 1 enter, 1 leave." in shown
    assert "-  · town is one of Graz" in shown
    assert "+  · town is one of Wien" in shown


def test_a_diff_of_another_segments_file_is_refused(shop: Campaigns) -> None:
    called = shop("segments", "diff", "buyers", "--file", "mine/segments/sums.yaml", "--json")
    assert called.code == 2
    assert called.json["error"]["message"] == "mine/segments/sums.yaml holds segment 'sums', not 'buyers'"


def test_the_last_snapshot_is_used_if_asked_for(shop: Campaigns, home: Path) -> None:
    assert shop("segments", "preview", "sums", *AS_OF, "--json").json["total"] == 3
    (home / "more.csv").write_text("no,mail,town\n4,dan@example.com,Graz\n")
    mapping = ("-m", "id=no", "-m", "email=mail", "-m", "attributes=rest")
    assert shop("contacts", "import", "more.csv", *mapping).code == 0
    assert shop("segments", "preview", "sums", *AS_OF, "--last-snapshot", "--json").json["total"] == 3
    assert shop("segments", "preview", "sums", *AS_OF, "--json").json["total"] == 4
