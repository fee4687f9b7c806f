"""First and last time, stopped, restarted and sequences: meaning, evidence and clear errors."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.evaluate import explain, members
from campaign_pipeline.segments.tree import says

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SCHEMA = {
    "event_id": pl.String,
    "contact_id": pl.String,
    "event": pl.String,
    "occurred_at": pl.Datetime("us", "UTC"),
    "properties": pl.String,
}
"""Each contact's events: name, time before as_of, properties."""
EVENTS: dict[str, list[tuple[str, timedelta, dict[str, Any]]]] = {
    "new": [("visit", 2 * DAY, {"page": "home"})],
    "old": [("visit", 100 * DAY, {"page": "home"}), ("visit", 40 * DAY, {"page": "shop"})],
    "back": [("visit", 100 * DAY, {"page": "home"}), ("visit", 3 * DAY, {"page": "shop"})],
    "loyal": [("visit", days * DAY, {"page": "shop"}) for days in (70, 40, 20, 3)],
    "late": [("visit", timedelta(), {"page": "shop"})],  # at as_of, which is outside
    "buyer": [("cart", 10 * DAY, {"sku": "a"}), ("order", 10 * DAY - HOUR, {"sku": "a"})],
    "slow": [("cart", 10 * DAY, {"sku": "a"}), ("order", 7 * DAY - HOUR, {"sku": "b"})],
    "twice": [("cart", 10 * DAY, {"sku": "a"}), ("cart", 8 * DAY, {"sku": "b"}), ("order", 7 * DAY, {"sku": "b"})],
    "reverse": [("order", 10 * DAY, {"sku": "a"}), ("cart", 9 * DAY, {"sku": "a"})],
    "at once": [("cart", 10 * DAY, {"sku": "a"}), ("order", 10 * DAY, {"sku": "a"})],
}


@pytest.fixture(scope="module")
def behaved(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.write(pl.DataFrame({"contact_id": sorted([*EVENTS, "nothing"])}), "contact_snapshot")
    rows = [
        (f"{who}-{number}", who, event, AS_OF - ago, json.dumps(how))
        for who, events in EVENTS.items()
        for number, (event, ago, how) in enumerate(events)
    ]
    lake.write(pl.DataFrame(rows, schema=SCHEMA, orient="row"), "behaviour", "all")
    return lake


def who(lake: Lake, where: dict[str, Any], **more: Any) -> list[str]:
    segment = Segment.model_validate({"segment": "s", "where": where, **more})
    return members(lake, segment, {}, AS_OF)["contact_id"].to_list()


SHOP = [{"prop": "page", "eq": "shop"}]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"first_did": {"event": "visit", "within": "30d"}}, ["new"]),
        ({"first_did": {"event": "visit", "within": "30d", "where": SHOP}}, ["back"]),
        ({"first_did": {"event": "visit", "since": "90d ago", "until": "60d ago"}}, ["loyal"]),
        ({"did": {"event": "visit", "since": "2026-02-28T00:00", "until": "2027-01-01"}}, ["new"]),  # not as_of itself
        ({"last_did": {"event": "visit", "until": "30d ago"}}, ["old"]),
        ({"last_did": {"event": "visit", "until": "2026-02-27T09:00"}}, ["old"]),  # 3 days ago is the end: outside
        ({"last_did": {"event": "visit", "until": "2026-02-27T09:00:01"}}, ["back", "loyal", "old"]),
        ({"stopped": {"event": "visit", "for": "30d"}}, ["old"]),
        ({"stopped": {"event": "visit", "for": "40d"}}, []),  # from 40 days ago there is one
        ({"stopped": {"event": "visit", "for": "30d", "within": "40d"}}, ["old"]),
        ({"stopped": {"event": "visit", "for": "30d", "within": "39d"}}, []),
        (
            {"stopped": {"event": "visit", "for": "1d", "where": [{"prop": "page", "eq": "home"}]}},
            ["back", "new", "old"],
        ),
        ({"restarted": {"event": "visit", "within": "7d", "after_gap": "60d"}}, ["back"]),
        ({"restarted": {"event": "visit", "within": "7d", "after_gap": "13d"}}, ["back"]),
        ({"restarted": {"event": "visit", "within": "7d", "after_gap": "12d"}}, ["back", "loyal"]),
        ({"restarted": {"event": "visit", "within": "7d", "after_gap": "93d"}}, []),  # 100 days ago is in the gap
    ],
)
def test_first_last_stopped_and_restarted(behaved: Lake, where: dict[str, Any], expected: list[str]) -> None:
    assert who(behaved, where) == expected


CART_A = {"event": "cart", "where": [{"prop": "sku", "eq": "a"}]}


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ({"steps": ["cart", "order"]}, ["buyer", "slow", "twice"]),
        ({"steps": ["cart", "order"], "within": "1d"}, ["buyer", "twice"]),
        ({"steps": ["cart", "order"], "within": "73h"}, ["buyer", "slow", "twice"]),  # at most: 73 hours are 73 hours
        ({"steps": ["cart", "order"], "within": "3d"}, ["buyer", "twice"]),
        ({"steps": [CART_A, "order"], "within": "3d"}, ["buyer", "twice"]),
        ({"steps": [CART_A, "order"], "within": "2d"}, ["buyer"]),
        ({"steps": ["order", "cart"]}, ["reverse"]),
        ({"steps": ["cart", "cart"]}, ["twice"]),
        ({"steps": ["cart", "cart", "order"], "within": "3d"}, ["twice"]),
        ({"steps": ["cart", "cart", "order"], "within": "71h"}, []),
        ({"steps": ["visit", "visit", "visit", "visit"]}, ["loyal"]),
        ({"steps": ["visit", "visit", "visit", "visit", "visit"]}, []),
        ({"steps": ["cart", "order"], "since": "9d ago"}, ["twice"]),
        ({"steps": ["cart", "order"], "until": "8d ago"}, ["buyer"]),
    ],
)
def test_a_sequence_is_one_event_later_than_another(
    behaved: Lake, sequence: dict[str, Any], expected: list[str]
) -> None:
    assert who(behaved, {"sequence": sequence}) == expected


def test_a_greedy_match_would_miss_the_chain(lake: Lake) -> None:
    """The first a is too early for the c, and the last b is too late: only a2, b1, c fits."""
    lake.write(pl.DataFrame({"contact_id": ["x"]}), "contact_snapshot")
    hours = {"a": [0, 5], "b": [6, 9], "c": [8]}
    rows = [
        (f"{event}{at}", "x", event, AS_OF - DAY + at * HOUR, "{}") for event, times in hours.items() for at in times
    ]
    lake.write(pl.DataFrame(rows, schema=SCHEMA, orient="row"), "behaviour", "all")
    assert who(lake, {"sequence": {"steps": ["a", "b", "c"], "within": "3h"}}) == ["x"]
    assert who(lake, {"sequence": {"steps": ["a", "b", "c"], "within": "2h"}}) == []


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ({"avg": {"prop": "n", "eq": 2.5}}, ["a"]),
        ({"avg": {"prop": "n", "gt": 2**53}}, ["e"]),  # as floats they are equal
        ({"avg": {"prop": "n", "between": [0.333333, 0.333334]}}, ["b"]),
        ({"avg": {"prop": "n", "gt": 0.333333}}, ["a", "b", "e"]),
        ({"min": {"prop": "n", "lte": 0}}, ["b"]),
        ({"max": {"prop": "n", "between": [1, 3]}}, ["a", "b"]),
        ({"min": {"prop": "n", "lt": 100}, "max": {"prop": "n", "gte": 3}}, ["a"]),
        ({"count": {"between": [1, 2]}}, ["a", "c", "e"]),
        ({"count": {"between": [0, 2]}}, ["a", "c", "d", "e"]),
        ({"count": {"between": [0, 2]}, "sum": {"prop": "n", "lte": 1}}, ["c", "d"]),
    ],
)
def test_averages_are_exact_and_of_numbers_only(lake: Lake, measure: dict[str, Any], expected: list[str]) -> None:
    lake.write(pl.DataFrame({"contact_id": ["a", "b", "c", "d", "e"]}), "contact_snapshot")
    numbers: dict[str, list[Any]] = {"a": [2, 3], "b": [0, 0, 1, "x"], "c": ["x", None], "e": [2**53, 2**53 + 2]}
    rows = [
        (f"{who}{at}", who, "e", AS_OF - DAY, json.dumps({"n": value}))
        for who, values in numbers.items()
        for at, value in enumerate(values)
    ]
    lake.write(pl.DataFrame(rows, schema=SCHEMA, orient="row"), "behaviour", "all")
    assert who(lake, {"did": {"event": "e", **measure}}) == expected


@pytest.mark.parametrize(
    ("contact", "where", "expected"),
    [
        ("loyal", {"did": {"event": "visit", "within": "30d"}}, {"count": 2, "first": 20 * DAY, "last": 3 * DAY}),
        ("nothing", {"did": {"event": "visit"}}, {"count": 0, "first": None, "last": None}),
        ("late", {"last_did": {"event": "visit", "until": "1d ago"}}, {"last": None}),
        ("old", {"first_did": {"event": "visit", "within": "30d"}}, {"first": 100 * DAY}),
        ("old", {"stopped": {"event": "visit", "for": "30d"}}, {"last": 40 * DAY}),
        (
            "back",
            {"restarted": {"event": "visit", "within": "7d", "after_gap": "9d"}},
            {"last before": 100 * DAY, "again": 3 * DAY},
        ),
        ("twice", {"sequence": {"steps": ["cart", "order"]}}, {"start": 8 * DAY, "end": 7 * DAY}),
        ("reverse", {"sequence": {"steps": ["cart", "order"]}}, {"start": None, "end": None}),
    ],
)
def test_the_values_that_decide_a_leaf(
    behaved: Lake, contact: str, where: dict[str, Any], expected: dict[str, Any]
) -> None:
    times = {name: AS_OF - ago if isinstance(ago, timedelta) else ago for name, ago in expected.items()}
    segment = Segment.model_validate({"segment": "s", "where": where})
    (line,) = explain(behaved, segment, {}, AS_OF, contact).lines
    assert line.evidence == times


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"first_did": {"event": "visit", "within": "30d"}}, "did visit for the first time within 30d"),
        ({"last_did": {"event": "visit", "until": "1w ago"}}, "did visit for the last time until 1w ago"),
        ({"stopped": {"event": "visit", "for": "30d", "within": "90d"}}, "stopped visit for 30d active within 90d"),
        (
            {"restarted": {"event": "visit", "within": "7d", "after_gap": "60d", "where": SHOP}},
            "did visit again within 7d after 60d without where page is shop",
        ),
        (
            {"sequence": {"steps": [CART_A, "order"], "within": "3d", "since": "2026-01-01"}},
            "did cart where sku is a, then did order within 3d since 2026-01-01",
        ),
        (
            {"did": {"event": "order", "avg": {"prop": "n", "between": [1, 2]}, "since": "90d ago"}},
            "did order with an average n between 1 and 2 since 90d ago",
        ),
    ],
)
def test_the_nodes_in_words(where: dict[str, Any], words: str) -> None:
    assert says(Segment.model_validate({"segment": "s", "where": where}).where) == words


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ({"first_did": {"event": "visit"}}, "needs a window: within, since or until; without one use did"),
        ({"stopped": {"event": "visit"}}, "Field required"),
        ({"restarted": {"event": "visit", "within": "7d", "aftergap": "60d"}}, "did you mean after_gap?"),
        ({"sequence": {"steps": ["cart"]}}, "at least 2 items"),
        ({"sequence": {"steps": ["cart"] * 6}}, "at most 5 items"),
        (
            {"sequence": {"steps": ["cart", {"event": "order", "were": []}]}},
            "were: is not a field here; did you mean where",
        ),
        ({"did": {"event": "visit", "since": "30 days ago"}}, "is not a duration of at most 100 years"),
        (
            {"did": {"event": "visit", "count": {"between": [3, 1]}}},
            "between: 3 is more than 1; write the lower one first",
        ),
        ({"did": {"event": "visit", "count": {"between": [0, 1.5]}}}, "1.5: a count is a whole number"),
        ({"sequense": {"steps": ["cart", "order"]}}, "did you mean sequence?"),
    ],
)
def test_what_is_written_wrongly_is_a_clear_error(where: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Segment.model_validate({"segment": "s", "where": where})
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("where", "message", "hint"),
    [
        ({"sequence": {"steps": ["cart", "ordr"]}}, "segment s: where: event 'ordr' is not known", "'order'"),
        ({"not": {"stopped": {"event": "visits", "for": "1d"}}}, "where.not: event 'visits' is not known", "'visit'"),
        ({"stopped": {"event": "visit", "for": "2d", "within": "1d"}}, "within 1d is not longer than for 2d", ""),
        (
            {"did": {"event": "visit", "since": "1d ago", "until": "2d ago"}},
            "since 1d ago is not before until 2d ago",
            "",
        ),
        (
            {"first_did": {"event": "cart", "within": "1d", "where": SHOP}},
            "property of cart 'page' is not known",
            "sku",
        ),
        ({"did": {"event": "visit", "avg": {"prop": "page", "gt": 1}}}, "'page' of visit is text, not a number", ""),
    ],
)
def test_what_the_catalogue_or_the_windows_forbid_names_the_place(
    behaved: Lake, where: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        who(behaved, where)
    assert message in raised.value.message
    assert hint in raised.value.hint
