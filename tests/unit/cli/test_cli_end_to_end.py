"""A small installation from the first command on, as somebody at a terminal and as a machine sees it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from campaign_pipeline.cli.arguments import moment
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR

FILES = {
    "people.csv": """\
no,mail,town
1,ann@example.com,Graz
2,not an address,Wien
3,eve@example.com,Linz
,nobody@example.com,Linz
""",
    "orders.csv": """\
who,day,amount
1,2026-02-01,10
1,2026-02-05,20
3,2025-12-24,5
""",
    "mine/segments/buyers.yaml": """\
segment: buyers
where:
  all:
    - did: {event: purchase, within: 30d}
    - trait: {field: town, in: [Graz, Linz]}
""",
}
CONTACTS = ("contacts", "import", "people.csv", "-m", "id=no", "-m", "email=mail", "-m", "attributes=rest")
EVENTS = ("events", "import", "orders.csv", "-m", "contact=who", "-m", "at=day", "-m", "event=purchase")
AS_OF = ("--as-of", "2026-02-10")

Campaigns = Callable[..., Any]


@pytest.fixture
def begun(campaigns: Campaigns, home: Path) -> Campaigns:
    """Initialised, with the sample definitions and one more segment; the files to import lie ready."""
    for name, text in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    for arguments in (("init",), ("apply", SAMPLE_DEFINITIONS_DIR), ("apply", "mine")):
        assert campaigns(*arguments).code == 0
    return campaigns


def test_init_may_be_repeated(campaigns: Campaigns, home: Path) -> None:
    first, second = campaigns("init", "--json"), campaigns("init", "--json")
    assert first.json == second.json
    assert first.json["data_dir"] == str(home / "data")
    assert (home / "data" / "campaigns.db").is_file()
    assert "Ready: data in" in campaigns("init").out


def test_apply_says_what_changed(begun: Campaigns, home: Path) -> None:
    assert begun("apply", "mine").out == "1 definitions: 0 applied, 1 unchanged.\n"
    file = home / "mine" / "segments" / "buyers.yaml"
    file.write_text(file.read_text().replace("30d", "20d"))
    assert begun("apply", "mine", "--json").json == [{"kind": "segment", "name": "buyers", "change": "changed"}]
    assert begun("apply", "mine", "--json").json == [{"kind": "segment", "name": "buyers", "change": "unchanged"}]


def test_contacts_are_taken_in_once(begun: Campaigns, home: Path) -> None:
    taken = begun(*CONTACTS, "--json")
    assert taken.code == 0
    counts = {name: taken.json[name] for name in ("read", "new", "changed", "unchanged", "repeated", "rejected")}
    assert counts == {"read": 4, "new": 3, "changed": 0, "unchanged": 0, "repeated": 0, "rejected": 1}
    assert taken.json["warnings"] == {"invalid_email": 1}
    assert Path(taken.json["rejects_path"]) == home / "data" / "rejects" / "people-rejects.csv"
    assert begun(*CONTACTS, "--json").json["already_imported"] is True
    assert "was imported before" in begun(*CONTACTS).out


@pytest.mark.parametrize("mapping", [(), ("-m", "id=no", "--mapping", "m.yaml")])
def test_the_mapping_is_said_in_one_way(begun: Campaigns, mapping: tuple[str, ...]) -> None:
    called = begun("contacts", "import", "people.csv", *mapping, "--json")
    assert called.code == 2
    assert called.json["error"]["hint"] == "Give --map field=column pairs, or --mapping FILE."


def test_a_mapping_file_does_what_the_pairs_do(begun: Campaigns, home: Path) -> None:
    (home / "m.yaml").write_text("id: no\nemail: mail\nattributes: rest\n")
    mapped = begun("contacts", "import", "people.csv", "--mapping", "m.yaml", "--json")
    assert (mapped.json["new"], mapped.json["rejected"]) == (3, 1)
    assert begun(*CONTACTS, "--json").json["already_imported"] is True


def test_a_file_that_is_not_there_is_said(begun: Campaigns) -> None:
    called = begun("contacts", "import", "gone.csv", "-m", "id=no", "--json")
    assert called.code == 2
    assert called.json["error"]["message"] == "gone.csv cannot be read: No such file or directory"


def test_a_segment_is_counted_line_by_line(begun: Campaigns) -> None:
    assert begun(*CONTACTS).code == 0
    taken = begun(*EVENTS, "-m", "properties=rest", "--json").json
    assert (taken["read"], taken["new"], taken["rejected"]) == (3, 3, 0)
    seen = begun("segments", "preview", "buyers", *AS_OF, "--json").json
    assert seen == {
        "segment": "buyers",
        "as_of": "2026-02-10T00:00:00+00:00",
        "count": 1,
        "total": 3,
        "lines": seen["lines"],
        "sample": [contact_id("1")],
        "reachable": {"email": 0, "sms": 0, "whatsapp": 0, "webhook": 0, "any": 0},
    }
    assert [(line["matches"], line["remains"]) for line in seen["lines"]] == [(1, 1), (1, 1), (2, 1)]
    shown = begun("segments", "preview", "buyers", *AS_OF)
    assert shown.code == 0
    assert "1 of 3 contacts are in buyers as of 2026-02-10 00:00 UTC." in shown.out
    assert "town is one of Graz, Linz" in shown.out
    assert "example.com" not in shown.out


def test_an_unknown_segment_is_answered_with_those_there_are(begun: Campaigns) -> None:
    called = begun("segments", "preview", "byers", "--json")
    assert (called.code, called.json["error"]["type"]) == (3, "NotFound")
    assert "buyers" in called.json["error"]["hint"]


def test_status_before_and_after_a_run_was_asked_for(begun: Campaigns) -> None:
    before = {row["campaign"]: row for row in begun("status", "--json").json}
    assert set(before) == {"spring-sale", "vip-preview", "win-back"}
    assert (before["spring-sale"]["runs"], before["spring-sale"]["last_run"]) == (0, None)
    assert begun("status", "spring-sale", "--json").json == []
    assert begun("status", "spring-sale").out == "No run yet.\n"

    run = "spring-sale--20260302t090000z"
    asked = ("run", "spring-sale", "--as-of", "2026-03-02T10:00:00+01:00", "--json")
    assert begun(*asked).json == begun(*asked).json == {"run": run, "state": "scheduled"}
    assert begun("status", "spring-sale", "--json").json == [{"run": run, "state": "scheduled", "reason": ""}]
    after = {row["campaign"]: row for row in begun("status", "--json").json}["spring-sale"]
    assert (after["runs"], after["last_run"]) == (1, "2026-03-02T09:00:00+00:00")
    assert run in begun("status", "spring-sale").out


def test_pause_resume_and_cancel(begun: Campaigns) -> None:
    run = begun("run", "spring-sale", *AS_OF, "--json").json["run"]
    assert begun("pause", "spring-sale", "--reason", "wrong price", "--json").json == {"state": "paused", "runs": [run]}
    assert begun("status", "spring-sale", "--json").json[0]["reason"] == "wrong price"
    assert begun("run", "spring-sale", *AS_OF, "--json").json == {"run": run, "state": "paused"}
    assert begun("run", "spring-sale").code == 4  # another time is another run
    assert begun("resume", "spring-sale", "--json").json == {"state": "scheduled", "runs": [run]}
    assert begun("resume", "spring-sale", "--json").json["error"]["type"] == "Refused"
    assert begun("cancel", "spring-sale").out == f"The campaign is cancelled; runs: {run}.\n"
    assert begun("run", "spring-sale", *AS_OF).code == 0  # it has ended: nothing to do
    assert begun("run", "spring-sale", "--json").code == 4


def test_without_campaigns_status_says_what_to_do(campaigns: Campaigns) -> None:
    campaigns("init")
    assert campaigns("status").out == "No campaign yet. Load some: campaigns apply data/definitions\n"
    assert campaigns("status", "--json").json == []
    assert campaigns("status", "gone").code == 3


def test_the_doctor_fails_as_long_as_something_is_wrong(campaigns: Campaigns) -> None:
    called = campaigns("doctor", "--json")
    assert called.code == 1
    assert {"check": "data folder", "ok": False, "advice": "Run: campaigns init"}.items() <= called.json[2].items()
    assert "Run: campaigns init" in campaigns("doctor").out


def test_results_before_any_run_say_so(begun: Campaigns) -> None:
    called = begun("results", "spring-sale", "--json")
    assert (called.code, called.json["error"]["type"]) == (3, "NotFound")


NOW = datetime(2026, 3, 2, 9, 0, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, datetime(2026, 3, 2, 9, tzinfo=UTC)),
        ("1998-07-01", datetime(1998, 7, 1, tzinfo=UTC)),
        ("2026-03-02T09:00:00.7", datetime(2026, 3, 2, 9, tzinfo=UTC)),
        ("2026-03-02T09:00:00+01:00", datetime(2026, 3, 2, 8, tzinfo=UTC)),
    ],
)
def test_a_moment_is_in_utc_and_to_the_second(text: str | None, expected: datetime) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-02-30", "0001-01-01T00:00:00+01:00"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a time"):
        moment(text, NOW)
