"""A small world full of edges, and random segment trees over it, as raw definitions."""

import json
import random
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import random_people as people
from hypothesis import strategies as st

AS_OF = datetime(2026, 3, 30, 1, 30, tzinfo=UTC)  # the day after Europe's clocks changed
AS_OFS = st.sampled_from(  # mostly the one that the events lie around, but others end a year or a February
    [AS_OF] * 5
    + [datetime(2027, 2, 28, 12, tzinfo=UTC), datetime(2028, 2, 28, 23, 30, tzinfo=UTC)]
    + [datetime(2028, 2, 29, 12, tzinfo=UTC), datetime(2026, 12, 30, 23, 30, tzinfo=UTC)]
)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]
TEXTS = ["DE", "de", "D", "", "Ärger", "a%b", "O'Brien", 'x"y', "\\", "2026-01-02", "😀", "$1", ":x", "null", "true"]
TEXTS += ["5", "ärger", "STRASSE", "straße", "İd"]
DATES = ["2026-03-30", "2026-03-29", "2026-03-31", "2026-04-05", "2026-04-06", "2026-03-23", "2026-02-28", "2025-03-30"]
DATES += [
    "2000-02-29",
    "1988-02-29",
    "1999-02-28",
    "1970-03-01",
    "1990-12-31",
    "1991-01-01",
    "1985-04-02",
    "1960-03-29",
]
DATES += [
    "2001-03-29T23:30:00Z",
    "2001-03-31 08:00",
    "2027-03-01",
    "9999-12-31",
    "2026-02-30",
    "1900-02-29",
    "3/30/2001",
]
DATES += ["2026-3-1", "today", "", "2026-03-30x", "2026-03-30T25:00", " 2026-03-30"]
INTEGERS = [0, 1, -1, 7, 2**53 + 1, 2**62]
NUMBERS = [0, 5, -5, 0.1, 0.2, 0.3, 19.99, 1e3, 5e-7, 2**53]
TIMES = [AS_OF, AS_OF - timedelta(hours=12), AS_OF - timedelta(days=1), AS_OF + timedelta(days=1)]
TIMES += [AS_OF - timedelta(days=days, seconds=late) for days in (1, 2, 7, 14, 30) for late in (0, 1)]
TIMES += [datetime(2026, 3, day, hour, tzinfo=UTC) for day in (1, 16, 28, 29) for hour in (0, 1, 2)]
TIMES += [datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 3, 22, 23, 30, tzinfo=UTC)]
PAST = [datetime(2020, 2, 29, 12, tzinfo=UTC), datetime(2019, 3, 29, 23, 30, tzinfo=UTC)]
PAST += [datetime(2024, 12, 31, 23, 30, tzinfo=UTC), datetime(2001, 3, 31, 20, tzinfo=UTC), AS_OF + timedelta(days=6)]
PAST += [datetime(year, 3, 30, 3, 59, 59, 999999, tzinfo=UTC) for year in (1901, 1969, 2025)]
MOMENTS = ["2026-03-01", "2026-03-29", "2026-03-29T02:30", "2026-03-28T23:00:00+00:00", "2026-03-29T01:00:00Z"]
FIELDS = {"country": TEXTS, "points": INTEGERS, "score": [float(n) for n in NUMBERS], "vip": [True, False]}
FIELDS |= {"order": TEXTS, "created_at": [*TIMES, *PAST], "birthday": DATES}  # `order` is a word of SQL
PROPERTIES = {
    "amount": [*NUMBERS, *[0.1, 0.2] * 5, *["5"] * 4],
    "category": TEXTS,
    "due": DATES,
    "gift": [True, False, "true", 1],
    "$a/b~c.\"d*'": TEXTS,
}
EVENTS = ["purchase", "visit", "it's"]


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


Rules = dict[str, st.SearchStrategy[Any]]
"""By operator, the values to compare with."""


def equality(values: list[Any]) -> Rules:
    one, some = st.sampled_from(values), st.lists(st.sampled_from(values), min_size=1, max_size=4)
    return {"eq": one, "ne": one, "in": some, "not_in": some}


def order(values: list[Any], ends: list[Any]) -> Rules:
    one, end = st.sampled_from(values), st.sampled_from(ends)
    return {"gt": one, "gte": one, "lt": one, "lte": one, "between": st.tuples(end, end).map(sorted)}


def search() -> Rules:
    texts = st.sampled_from([text for text in TEXTS if text] + ["r", "a", "D", "%", "_", "'", "e", "R", "😀"])
    some = st.lists(texts, min_size=1, max_size=3)
    return {"contains": texts, "contains_any": some, "starts": texts, "ends": texts}


def relative(durations: list[str]) -> Rules:
    """Comparisons with as_of."""
    one = st.sampled_from(durations)
    days = [duration for duration in durations if not duration.endswith("h")] + ["3w", "60d", "366d"]
    yearly = st.just("today") | st.builds(lambda value: {"within_next": value}, st.sampled_from(days))
    return {"older_than": one, "newer_than": one, "within_next": one, "anniversary": yearly}


def by_operator(subjects: dict[str, list[Rules]]) -> dict[str, list[tuple[str, st.SearchStrategy[Any]]]]:
    """For each operator, the subjects that it goes with, and the values."""
    found: dict[str, list[tuple[str, st.SearchStrategy[Any]]]] = {}
    for name, kinds in subjects.items():
        for op, values in (rule for kind in kinds for rule in kind.items()):
            found.setdefault(op, []).append((name, values))
    return found


DURATIONS = ["12h", "24h", "48h", "1d", "2d", "1w", "2w", "30d"]
IS_SET: Rules = {"is_set": st.booleans()}
SOME_NUMBERS = [*NUMBERS, 7, 1.5]
DAYS = ["2026-03-01", "2026-03-28", "2026-03-29"]
ON_TEXT = [equality(TEXTS), order(TEXTS, TEXTS), search(), IS_SET]
ON_DATE = [relative(DURATIONS[3:]), order(DATES, DATES), IS_SET]
ON_NUMBER = [equality(SOME_NUMBERS), order(SOME_NUMBERS, SOME_NUMBERS), IS_SET]
ON_INTEGER = [equality(INTEGERS), equality([0, 0.5, 7]), order([*INTEGERS, 0.5], [*INTEGERS[:4], 0.5, 2**62]), IS_SET]
ON_BOOLEAN = [equality([True, False]), IS_SET]
ON_TIME = [order(MOMENTS, DAYS), relative(DURATIONS), IS_SET]
ON_FIELD = by_operator(
    {
        "country": ON_TEXT,
        "order": ON_TEXT,
        "points": ON_INTEGER,
        "score": ON_NUMBER,
        "vip": ON_BOOLEAN,
        "created_at": ON_TIME,
        "birthday": ON_DATE,
    }
)
ON_PROPERTY = by_operator(
    {
        "amount": ON_NUMBER + ON_TEXT,
        "category": ON_TEXT,
        "due": ON_DATE,
        "gift": ON_BOOLEAN + ON_NUMBER + ON_TEXT,
        "$a/b~c.\"d*'": ON_TEXT,
    }
)
ANY_CASE = {"eq", "ne", "in", "not_in", "contains", "contains_any", "starts", "ends"}

ONE_EVENT = st.sampled_from(EVENTS)
YES_OR_NO = st.booleans()
THRESHOLDS = ["gte", "lte", "eq", "gt", "lt", "between"]
A_FEW = st.integers(0, 4)
MEASURES = st.just([]) | st.sampled_from([["sum"], ["avg"], ["min"], ["max"], ["sum", "avg"], ["min", "max"]])
SUMMED = st.sampled_from(["amount", "gift"])
TOTAL = st.sampled_from([0, 0.1, 0.3, 0.4, 0.5, 0.6, 5, 19.99, 1000, -5, 0.000001])
DURATION = st.sampled_from(DURATIONS)
FILTERS = st.sampled_from([0, 0, 1, 1, 2, 3])
WINDOW = st.sampled_from(
    [{}, {}]
    + [{"since": text} for text in MOMENTS]
    + [{"until": text} for text in MOMENTS]
    + [{"since": "2026-03-02", "until": text} for text in MOMENTS[1:]]
    + [{"until": "2026-04-01"}, {"since": "2w ago"}, {"until": "2d ago"}, {"since": "30d ago", "until": "24h ago"}]
)
WINDOWS = st.one_of(WINDOW, st.builds(lambda window, within: {**window, "within": within}, WINDOW, DURATION))
ZONE = st.sampled_from(ZONES)


@st.composite
def traits(draw: st.DrawFn, op: str | None = None) -> dict[str, Any]:
    return {"trait": draw(comparisons("field", op))}


@st.composite
def comparisons(draw: st.DrawFn, key: str, op: str | None = None) -> dict[str, Any]:
    rules = ON_FIELD if key == "field" else ON_PROPERTY
    op = op or draw(st.sampled_from(sorted(rules)))
    name, values = draw(st.sampled_from(rules[op]))
    value = draw(values)
    is_text = isinstance(value[0] if isinstance(value, list) else value, str)
    any_case = {"ignore_case": True} if is_text and op in ANY_CASE and draw(YES_OR_NO) else {}
    return {key: name, op: value, **any_case}


@st.composite
def dids(draw: st.DrawFn, op: str | None = None, threshold: str | None = None) -> dict[str, Any]:
    did: dict[str, Any] = {"event": draw(ONE_EVENT), **draw(WINDOW)}
    if draw(YES_OR_NO):
        did["count"] = draw(thresholds(A_FEW, threshold))
    for measure in draw(MEASURES):
        did[measure] = {"prop": draw(SUMMED), **draw(thresholds(TOTAL, threshold))}
    if draw(YES_OR_NO):
        did["within"] = draw(DURATION)
    did["where"] = [draw(comparisons("prop", op))] if op else draw(filters())
    return {"did": did}


@st.composite
def thresholds(draw: st.DrawFn, bounds: st.SearchStrategy[Any], op: str | None) -> dict[str, Any]:
    op = op or draw(st.sampled_from(THRESHOLDS))
    return {op: sorted([draw(bounds), draw(bounds)]) if op == "between" else draw(bounds)}


@st.composite
def filters(draw: st.DrawFn) -> list[dict[str, Any]]:
    return [draw(comparisons("prop")) for _ in range(draw(FILTERS))]


@st.composite
def histories(draw: st.DrawFn) -> dict[str, Any]:
    """The nodes about the first and the last time."""
    leaf = {"event": draw(ONE_EVENT), "where": draw(filters())}
    key = draw(st.sampled_from(["first_did", "last_did", "stopped", "restarted"]))
    if key == "stopped":
        shorter, longer = sorted(draw(st.sampled_from([(0, 2), (0, 5), (3, 7), (3, 5), (5, 7), (6, 7)])))
        leaf |= {"for": DURATIONS[shorter]} | ({"within": DURATIONS[longer]} if draw(YES_OR_NO) else {})
    elif key == "restarted":
        leaf |= {"within": draw(DURATION), "after_gap": draw(DURATION)}
    else:
        leaf |= {"within": draw(DURATION)} if draw(YES_OR_NO) else draw(WINDOW.filter(bool))
    return {key: leaf}


@st.composite
def sequences(draw: st.DrawFn) -> dict[str, Any]:
    def step() -> Any:
        rules = draw(filters())
        return {"event": draw(ONE_EVENT), "where": rules} if rules else draw(ONE_EVENT)

    leaf = {"steps": [step() for _ in range(draw(st.sampled_from([2, 2, 2, 3, 3, 4, 5])))], **draw(WINDOW)}
    return {"sequence": leaf | ({"within": draw(DURATION)} if draw(YES_OR_NO) else {})}


@cache  # building a strategy costs more than drawing from it
def trees(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Nodes whose references are to `names`."""
    leaves: list[st.SearchStrategy[dict[str, Any]]] = [traits(), traits(), dids(), dids(), histories(), sequences()]
    leaves += people.nodes(EVENTS, WINDOWS)
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
def libraries(draw: st.DrawFn, op: str | None = None, threshold: str | None = None) -> dict[str, dict[str, Any]]:
    """Five segments, the last one named `drawn`; the last two are trees, and may refer to those before them.

    The first has the operator, the second too, and may have the threshold.
    """
    leaves = {"first": traits(op), "second": dids(op, threshold)}
    leaves["third"] = st.one_of(histories(), sequences(), *people.nodes(EVENTS, WINDOWS))
    library: dict[str, dict[str, Any]] = {}
    for name in ("first", "second", "third", "fourth", "drawn"):
        zone = draw(ZONE)
        tree = leaves[name] if name in leaves else trees(tuple(library))
        rule = {"where": draw(tree), **draw(people.ends(tree, tuple(library)))}
        library[name] = {"segment": name, "timezone": zone, **rule}
    return library
