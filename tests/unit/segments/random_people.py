"""Lists, tags, reachability and messages for the contacts of random_world, and random nodes and ends about them."""

import random
from typing import Any

from hypothesis import strategies as st

LISTS = ["vips", "complaints", "O'Brien; --", "a%", "1"]
TAGS = ["newsletter", "ab", "Ärger 😀", '"x"', "vips"]
CHANNELS = ["email", "sms", "whatsapp"]
CAMPAIGNS = {"spring": ["plain", "points"], "win-back": ["plain"], "it's": ["a'b"]}
WHATS = ["sent", "delivered", "read", "opened", "clicked", "replied", "unsubscribed", "complained", "bounced"]
WHATS += ["failed", "machine_opened", "machine_clicked"]
METRICS: dict[str, dict[str, Any]] = {
    "orders": {"event": "purchase", "count": "events"},
    "ltv": {"event": "purchase", "sum": "amount", "within": "30d"},
    "basket": {"event": "purchase", "avg": "amount"},
    "least": {"event": "visit", "min": "amount", "since": "2026-03-02"},
    "most": {"event": "it's", "max": "amount", "until": "2026-03-29T02:30"},
    "quiet": {"event": "visit", "recency": "days"},
    "pace": {"event": "purchase", "frequency": "7d", "within": "30d", "where": [{"prop": "amount", "is_set": True}]},
}


def with_people(contacts: list[dict[str, Any]], draw: random.Random) -> list[dict[str, Any]]:
    """The contacts with lists, tags and reachable_<channel>; every list and tag has somebody."""

    def one(index: int, contact: dict[str, Any]) -> dict[str, Any]:
        lists = {name for name in LISTS if draw.random() < 0.3} | {LISTS[index % 20 % len(LISTS)]}
        tags = {name for name in TAGS if draw.random() < 0.3}
        groups = {"lists": sorted(lists) if index % 2 else [], "tags": sorted(tags | {TAGS[index % len(TAGS)]})}
        return contact | groups | {f"reachable_{channel}": draw.choice([True, False]) for channel in CHANNELS}

    return [one(index, contact) for index, contact in enumerate(contacts)]


def messages(contacts: list[dict[str, Any]], times: list[Any], draw: random.Random) -> list[dict[str, Any]]:
    """Two runs of each campaign, to some of the contacts and to somebody who is none any more."""
    rows: list[dict[str, Any]] = []
    for campaign, variants in CAMPAIGNS.items():
        for run in range(2):
            channel = CHANNELS[(len(campaign) + run) % 3]
            for contact in [*contacts, {"contact_id": f"{999:024x}"}]:
                if draw.random() < 0.5:
                    variant = draw.choice([None, *variants * 4])
                    columns = ["accepted_at" if what == "sent" else f"{what}_at" for what in WHATS]
                    happened = {name: draw.choice([None, *times]) if variant else None for name in columns}
                    row = {"run_id": f"{campaign}--{run}", "campaign": campaign, "channel": channel}
                    rows.append(row | {"contact_id": contact["contact_id"], "variant": variant, **happened})
    return rows


def some(names: list[str]) -> st.SearchStrategy[Any]:
    """One name, or several."""
    return st.one_of(st.sampled_from(names), st.lists(st.sampled_from(names), min_size=1, max_size=3))


def threshold(bounds: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    operators = st.sampled_from(["gte", "lte", "eq", "gt", "lt"])
    one = st.builds(lambda op, bound: {op: bound}, operators, st.sampled_from(bounds))
    two = st.tuples(st.sampled_from(bounds), st.sampled_from(bounds)).map(lambda pair: {"between": sorted(pair)})
    return st.one_of(one, one, two)


@st.composite
def engagements(draw: st.DrawFn, windows: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    leaf: dict[str, Any] = {"what": draw(st.sampled_from(WHATS)), **draw(windows)}
    campaign = draw(st.sampled_from([None, *CAMPAIGNS]))
    if campaign:
        leaf["campaign"] = campaign
    elif draw(st.booleans()):
        leaf["campaign"] = list(CAMPAIGNS)[:2]
    if draw(st.booleans()):
        leaf["variant"] = draw(some(CAMPAIGNS[campaign] if campaign else ["plain", "points"]))
    if draw(st.booleans()):
        leaf["channel"] = draw(some(CHANNELS))
    if draw(st.booleans()):
        leaf["count"] = draw(threshold([0, 1, 2, 3]))
    return {"engaged": leaf}


VALUES = [-5, 0, 0.1, 0.3, 1, 2, 3, 4, 5, 7, 10, 19.99, 100, 1000, 0.466667]
PERCENTS = [0, 10, 20, 33.333333, 50, 66.666667, 75, 80, 90, 100]
SCORE = threshold([1, 2, 3, 4, 5])


@st.composite
def metrics(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(METRICS)))
    percentile = st.builds(lambda bound: {"percentile": bound}, threshold(PERCENTS))
    is_set = st.builds(lambda value: {"is_set": value}, st.booleans())
    return {"metric": {"name": name, **draw(st.one_of(threshold(VALUES), percentile, percentile, is_set))}}


@st.composite
def scores(draw: st.DrawFn, events: list[str], windows: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    parts = draw(st.sets(st.sampled_from(["recency", "frequency", "monetary"]), min_size=1))
    leaf = {"event": draw(st.sampled_from(events)), **draw(windows), **{part: draw(SCORE) for part in sorted(parts)}}
    if "monetary" in parts or draw(st.booleans()):
        leaf["amount"] = "amount"
    return {"rfm": leaf}


def nodes(events: list[str], windows: st.SearchStrategy[dict[str, Any]]) -> list[st.SearchStrategy[dict[str, Any]]]:
    """The leaves that random_world has not."""

    def named(key: str, names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        forms = st.one_of(some(names), some(names).map(lambda value: {"any": value}))
        return forms.map(lambda value: {key: value})

    belonging = st.one_of(named("list", LISTS), named("tag", TAGS), named("reachable", CHANNELS))
    comparing = st.one_of(metrics(), scores(events, windows))
    return [engagements(windows), closed(belonging), closed(comparing)]


@st.composite
def closed(draw: st.DrawFn, strategy: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """The strategy as one choice of a one_of, which takes those of another one_of for its own."""
    return draw(strategy)


@st.composite
def ends(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]], names: tuple[str, ...]) -> dict[str, Any]:
    """`metrics`, and sometimes `exclude`, `sample` and `limit`, of a segment that may refer to `names`."""
    end: dict[str, Any] = {"metrics": METRICS}
    if draw(st.integers(0, 3)) == 3:
        short = [f"list:{name}" for name in LISTS[:2]] + ["tag:ab"] + [f"segment:{name}" for name in names]
        end["exclude"] = draw(st.lists(st.one_of(st.sampled_from(short), inner), min_size=1, max_size=3))
    if draw(st.integers(0, 3)) == 3:
        seed = draw(st.sampled_from(["a", "spring", "it's"]))
        end["sample"] = {"percent": draw(st.sampled_from([25, 50, 75, 33.33, 100])), "seed": seed}
    if draw(st.integers(0, 3)) == 3:
        fields = ["country", "points", "score", "vip", "created_at", "contact_id", *METRICS]
        name, direction = draw(st.sampled_from(fields)), draw(st.sampled_from(["", " asc", " desc"]))
        order = {"order_by": name + direction} if draw(st.integers(0, 4)) else {}
        end["limit"] = {"n": draw(st.sampled_from([1, 3, 10, 20, 100])), **order}
    return end
