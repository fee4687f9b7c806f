"""A small world full of edges, and random segment trees over it, as raw definitions."""

import json
import random
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from hypothesis import strategies as st

AS_OF = datetime(2026, 3, 30, 1, 30, tzinfo=UTC)  # the day after Europe's clocks changed
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]
TEXTS = ["DE", "de", "D", "", "Ärger", "a%b", "O'Brien", 'x"y', "\\", "2026-01-02", "😀", "$1", ":x", "null", "true"]
TEXTS += ["5"]
INTEGERS = [0, 1, -1, 7, 2**53 + 1, 2**62]
NUMBERS = [0, 5, -5, 0.1, 0.2, 0.3, 19.99, 1e3, 5e-7, 2**53]
TIMES = [AS_OF, AS_OF - timedelta(hours=12), AS_OF - timedelta(days=1), AS_OF + timedelta(days=1)]
TIMES += [AS_OF - timedelta(days=days, seconds=late) for days in (1, 2, 7, 14, 30) for late in (0, 1)]
TIMES += [datetime(2026, 3, day, hour, tzinfo=UTC) for day in (1, 16, 28, 29) for hour in (0, 1, 2)]
TIMES += [datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 3, 22, 23, 30, tzinfo=UTC)]
MOMENTS = ["2026-03-01", "2026-03-29", "2026-03-29T02:30", "2026-03-28T23:00:00+00:00", "2026-03-29T01:00:00Z"]
FIELDS = {"country": TEXTS, "points": INTEGERS, "score": [float(n) for n in NUMBERS], "vip": [True, False]}
FIELDS |= {"order": TEXTS, "created_at": TIMES}  # `order` is a word of SQL
PROPERTIES = {
    "amount": [*NUMBERS, *[0.1, 0.2] * 5, "5"],
    "category": TEXTS,
    "gift": [True, False, "true", 1],
    "$a/b~c.\"d*'": TEXTS,
}
EVENTS = ["purchase", "visit", "it's"]
DURATIONS = ["12h", "24h", "48h", "1d", "2d", "1w", "2w", "30d"]


def contacts(draw: random.Random, number: int = 30) -> list[dict[str, Any]]:
    def one(index: int) -> dict[str, Any]:
        fields = {name: draw.choice([None, *values]) for name, values in FIELDS.items()}
        return {"contact_id": f"{index:024x}", **fields}

    return [one(index) for index in range(number)]


def events(draw: random.Random, number: int = 200, people: int = 20) -> list[dict[str, Any]]:
    """Events of the first `people` contacts only, and of some who are no contacts."""

    def one(index: int) -> dict[str, Any]:
        properties = {key: draw.choice([None, *values]) for key, values in PROPERTIES.items() if draw.random() < 0.7}
        return {
            "event_id": f"e{index}",
            "contact_id": f"{draw.choice([*range(people), 999]):024x}",
            "event": draw.choice(EVENTS),
            "occurred_at": draw.choice(TIMES),
            "properties": json.dumps(properties),
        }

    return sorted((one(index) for index in range(number)), key=lambda event: event["occurred_at"])


def equality(values: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    some = st.lists(st.sampled_from(values), min_size=1, max_size=4)
    return st.one_of(
        st.builds(lambda op, value: {op: value}, st.sampled_from(["eq", "ne"]), st.sampled_from(values)),
        st.builds(lambda op, value: {op: value}, st.sampled_from(["in", "not_in"]), some),
    )


def order(values: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    operators = st.sampled_from(["gt", "gte", "lt", "lte"])
    return st.builds(lambda op, value: {op: value}, operators, st.sampled_from(values))


def search() -> st.SearchStrategy[dict[str, Any]]:
    texts = [text for text in TEXTS if text] + ["r", "a", "D", "%", "_", "'"]
    operators = st.sampled_from(["contains", "starts"])
    return st.builds(lambda op, value: {op: value}, operators, st.sampled_from(texts))


IS_SET = st.builds(lambda value: {"is_set": value}, st.booleans())
ON_TEXT = st.one_of(equality(TEXTS), order(TEXTS), search(), IS_SET)
ON_NUMBER = st.one_of(equality([*NUMBERS, 7, 1.5]), order([*NUMBERS, 7, 1.5]), IS_SET)
ON_INTEGER = st.one_of(equality(INTEGERS), order([*INTEGERS, 0.5]), equality([0, 0.5, 7]), IS_SET)
ON_BOOLEAN = st.one_of(equality([True, False]), IS_SET)
ON_TIME = st.one_of(order(MOMENTS), IS_SET)
ON_FIELD = {
    "country": ON_TEXT,
    "order": ON_TEXT,
    "points": ON_INTEGER,
    "score": ON_NUMBER,
    "vip": ON_BOOLEAN,
    "created_at": ON_TIME,
}
ON_PROPERTY = {
    "amount": st.one_of(ON_NUMBER, ON_TEXT),
    "category": ON_TEXT,
    "gift": st.one_of(ON_BOOLEAN, ON_NUMBER, ON_TEXT),
    "$a/b~c.\"d*'": ON_TEXT,
}

ONE_FIELD = st.sampled_from(sorted(ON_FIELD))
ONE_EVENT = st.sampled_from(EVENTS)
YES_OR_NO = st.booleans()
THRESHOLD = st.sampled_from(["gte", "lte", "eq", "gt", "lt"])
A_FEW = st.integers(0, 4)
SUMMED = st.sampled_from(["amount", "gift"])
TOTAL = st.sampled_from([0, 0.1, 0.3, 0.4, 0.5, 0.6, 5, 19.99, 1000, -5, 0.000001])
DURATION = st.sampled_from(DURATIONS)
SOME_PROPERTIES = st.just([]) | st.lists(st.sampled_from(sorted(ON_PROPERTY)), max_size=2)
WINDOW = st.sampled_from(
    [{}, {}]
    + [{"since": text} for text in MOMENTS]
    + [{"until": text} for text in MOMENTS]
    + [{"since": "2026-03-02", "until": text} for text in MOMENTS[1:]]
)
ZONE = st.sampled_from(ZONES)


@st.composite
def traits(draw: st.DrawFn) -> dict[str, Any]:
    field = draw(ONE_FIELD)
    return {"trait": {"field": field, **draw(ON_FIELD[field])}}


@st.composite
def dids(draw: st.DrawFn) -> dict[str, Any]:
    did: dict[str, Any] = {"event": draw(ONE_EVENT), **draw(WINDOW)}
    if draw(YES_OR_NO):
        did["count"] = {draw(THRESHOLD): draw(A_FEW)}
    if draw(YES_OR_NO):
        did["sum"] = {"prop": draw(SUMMED), draw(THRESHOLD): draw(TOTAL)}
    if draw(YES_OR_NO):
        did["within"] = draw(DURATION)
    did["where"] = [{"prop": name, **draw(ON_PROPERTY[name])} for name in draw(SOME_PROPERTIES)]
    return {"did": did}


@cache  # building a strategy costs more than drawing from it
def trees(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Nodes whose references are to `names`."""
    leaves: list[st.SearchStrategy[dict[str, Any]]] = [traits(), dids()]
    if names:
        leaves.append(st.builds(lambda name: {"segment": name}, st.sampled_from(names)))
    return st.recursive(
        st.one_of(leaves),
        lambda inner: st.one_of(
            st.builds(lambda nodes: {"all": nodes}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda nodes: {"any": nodes}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda node: {"not": node}, inner),
        ),
        max_leaves=8,
    )


@st.composite
def libraries(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Four segments, the last one named `drawn`; each may refer to those before it."""
    library: dict[str, dict[str, Any]] = {}
    for name in ("first", "second", "third", "drawn"):
        zone = draw(ZONE)
        library[name] = {"segment": name, "timezone": zone, "where": draw(trees(tuple(library)))}
    return library
