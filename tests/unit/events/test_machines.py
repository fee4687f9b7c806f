"""Who opened and clicked, humans or machines: each rule at its border, and days that are built anew by other rules."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
import yaml
from payloads import ANN, BOB, sendgrid_item

from campaign_pipeline.core.errors import InvalidDefinition
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.events.days import build_day, rules_of
from campaign_pipeline.events.machines import FILE, machine_rules
from campaign_pipeline.events.normalise import normalise, to_working
from campaign_pipeline.events.received import write_received
from campaign_pipeline.events.record import Record

DAY = "2026-03-03"
NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
BROWSER = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


def event(kind: str, seconds: float = 0, contact: str = ANN, **fields: Any) -> dict[str, Any]:
    at = int((NOON + timedelta(seconds=seconds)).timestamp())
    readers = {"useragent": BROWSER, "ip": "192.0.2.1"} if kind in ("open", "click") else {}
    return sendgrid_item(kind, contact, timestamp=at, **(readers | fields))


def click(seconds: float, link: str = "a", contact: str = ANN, **fields: Any) -> dict[str, Any]:
    return event("click", seconds, contact, url=f"https://shop.example/{link}") | fields


def receive(lake: Lake, *items: dict[str, Any], batch: str = "b") -> None:
    record = Record(NOON + timedelta(days=1), "sendgrid", "events", {}, orjson.dumps(items).decode())
    write_received(lake, to_working(normalise([(0, record)])[0]), batch)


def reasons(lake: Lake, day: str = DAY, file: Path = FILE) -> list[str | None]:
    """Of opens and clicks, in the order of time."""
    built = build_day(lake, day, machine_rules(str(file))).collect()
    assert built["machine"].to_list() == built["machine_reason"].is_not_null().to_list()
    return built.filter(pl.col("type").is_in(["opened", "clicked"]))["machine_reason"].to_list()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"sg_machine_open": True}, "provider"),
        ({"sg_machine_open": True, "useragent": "curl/8.0"}, "provider"),
        ({"useragent": "Mozilla/5.0"}, "user_agent"),
        ({"useragent": "python-requests/2.31"}, "user_agent"),
        ({"useragent": "BarracudaCentral"}, "user_agent"),
        ({"useragent": "Mozilla/5.0 (Windows NT 5.1) (via ggpht.com GoogleImageProxy)"}, None),
        ({"ip": "209.222.80.0"}, "network"),
        ({"ip": "209.222.87.255"}, "network"),
        ({"ip": "209.222.88.0"}, None),
        ({"ip": "no address", "useragent": ""}, None),
    ],
)
def test_what_gives_a_machine_away_by_itself(lake: Lake, fields: dict[str, Any], reason: str | None) -> None:
    receive(lake, event("open", 60) | fields)
    assert reasons(lake) == [reason]


def test_nobody_reads_within_a_second_or_clicks_within_two(lake: Lake) -> None:
    receive(lake, event("delivered"), event("open"), click(1), event("open", 1), click(2))
    found = build_day(lake, DAY).collect().filter(pl.col("type") != "delivered")
    assert sorted(found.select("type", pl.col("occurred_at").dt.second(), "machine_reason").rows(), key=str) == [
        ("clicked", 1, "too_fast"),
        ("clicked", 2, None),
        ("opened", 0, "too_fast"),
        ("opened", 1, None),
    ]


def test_clocks_differ_so_that_a_click_before_the_delivery_says_nothing(lake: Lake) -> None:
    receive(lake, event("delivered", 5), click(4), event("delivered", 0, BOB))
    assert reasons(lake) == [None]


def test_many_links_of_one_message_within_seconds_are_a_scanners_round(lake: Lake) -> None:
    receive(
        lake,
        *(click(600 + 5 * number, link) for number, link in enumerate("abc")),
        click(611, "a"),  # after the first, but no more than ten seconds from the two others
        click(640, "d"),  # later: the human
        *(click(700 + number, "a", BOB) for number in range(5)),  # one link
        *(click(800 + 6 * number, link, BOB) for number, link in enumerate("abc")),  # too slow for a machine
    )
    found = build_day(lake, DAY).collect().select("occurred_at", "machine_reason").rows()
    seconds = {int((at - NOON).total_seconds()): reason for at, reason in found}
    assert {at for at, reason in seconds.items() if reason} == {600, 605, 610, 611, 806}
    assert set(seconds.values()) == {None, "all_links"}


def test_rules_look_back_over_midnight(lake: Lake) -> None:
    midnight = 12 * 3600
    receive(
        lake,
        event("delivered", midnight - 1),
        click(midnight, "a"),
        *(click(midnight - 4 + number, link, BOB) for number, link in enumerate("abcd")),
        click(midnight + 1, "e", BOB),
    )
    assert reasons(lake, "2026-03-04") == ["too_fast", "all_links"]


def test_our_own_redirect_is_classed_by_the_same_rules(lake: Lake) -> None:
    item = sendgrid_item("click")
    query = {"run_id": item["run_id"], "message_id": item["message_id"], "url": "https://shop.example/a"}
    agents: list[dict[str, str]] = [{"user_agent": BROWSER}, {"user_agent": "curl/8.0"}, {"method": "HEAD"}]
    records = [Record(NOON + timedelta(seconds=n), "own", "click", query | more, "") for n, more in enumerate(agents)]
    write_received(lake, to_working(normalise(enumerate(records))[0]), "own")
    assert reasons(lake) == [None, "user_agent", "prefetch"]


def test_other_rules_change_the_day_and_nothing_that_was_received(lake: Lake, tmp_path: Path) -> None:
    receive(lake, event("delivered"), click(5), event("open", 9, useragent="Acme Scanner 1"))
    received = {path: path.read_bytes() for path in lake.root.glob("received_events/**/*.parquet")}
    assert reasons(lake) == [None, None]
    before = rules_of(lake, DAY)
    rules = yaml.safe_load(FILE.read_text())
    rules["version"], rules["too_fast"]["clicked"] = "ours-2", 10
    rules["agents"]["machines"].append({"pattern": "^acme", "who": "Acme"})
    ours = tmp_path / "rules.yaml"
    ours.write_text(yaml.safe_dump(rules))
    assert reasons(lake, file=ours) == ["too_fast", "user_agent"]
    assert rules_of(lake, DAY).startswith("ours-2 (")
    assert rules_of(lake, DAY) != before
    assert {path: path.read_bytes() for path in lake.root.glob("received_events/**/*.parquet")} == received
    assert reasons(lake) == [None, None]
    assert rules_of(lake, DAY) == before


def test_user_agents_and_networks_stay_where_they_were_received(lake: Lake) -> None:
    receive(lake, event("open", 60))
    built = build_day(lake, DAY).collect()
    assert {"user_agent", "network", "ip"}.isdisjoint(built.columns)
    assert BROWSER not in str(built.rows())
    assert "192.0.2" not in str(built.rows())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": [{"network": "192.0.2.7/32", "who": "x", "source": "y"}]}, "smaller than /24"),
        ({"networks": [{"network": "everywhere", "who": "x", "source": "y"}]}, "is not a network"),
        ({"agents": {"machines": [{"pattern": "(", "who": "x"}]}}, "not a regular expression"),
        ({"all_links": {"links": 3, "within": 3601}}, "less than or equal to 3600"),
        ({"machine": True}, "not a field"),
    ],
)
def test_a_mistake_in_the_rules_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(FILE.read_text()) | change))
    with pytest.raises(InvalidDefinition, match=message):
        machine_rules(str(file))
