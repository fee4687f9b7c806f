"""Engagement, lists, tags, reachability, metrics and scores over a small lake: meaning, evidence, clear errors."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from campaign_pipeline.analytics.schemas import MESSAGE_FACTS
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import read_catalogue
from campaign_pipeline.segments.compiler import MESSAGE_COLUMNS, compiler, lake_tables
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.dialect import duckdb_sql
from campaign_pipeline.segments.evaluate import explain, members
from campaign_pipeline.segments.session import open_session

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
TIME = pl.Datetime("us", "UTC")
METRICS = {
    "ltv": {"event": "purchase", "sum": "amount"},
    "orders": {"event": "purchase", "count": "events"},
    "basket": {"event": "purchase", "avg": "amount"},
    "quiet": {"event": "purchase", "recency": "days"},
    "pace": {"event": "purchase", "frequency": "30d", "within": "365d"},
}

Who = Callable[..., list[str]]


@pytest.fixture
def people(lake: Lake) -> Lake:
    contacts = {
        "contact_id": ["a", "b", "c", "d"],
        "country": ["DE", "AT", "US", None],
        "reachable_email": [True, False, True, False],
        "reachable_sms": [True, True, False, False],
        "lists": [["vips"], ["complaints", "vips"], [], []],
        "tags": [["shoes"], [], ["hats", "shoes"], []],
    }
    lake.write(pl.DataFrame(contacts, schema_overrides={"lists": pl.List(pl.String)}), "contact_snapshot")
    purchases = [("a", 90, 10), ("a", 1, 20), ("b", 3, 0.000003), ("b", 2, 0.000004), ("c", 2, "free"), ("x", 1, 5)]
    rows = [
        (str(n), who, "purchase", AS_OF - days * DAY, json.dumps({"amount": amount}))
        for n, (who, days, amount) in enumerate(purchases)
    ]
    columns = ("event_id", "contact_id", "event", "occurred_at", "properties")
    frame = pl.DataFrame(rows, columns, orient="row").with_columns(pl.col("occurred_at").cast(TIME))
    lake.write(frame, "behaviour", "one")
    return lake


def write_messages(lake: Lake, campaign: str, rows: list[dict[str, Any]]) -> None:
    full = [{**dict.fromkeys(MESSAGE_FACTS), "campaign": campaign, "channel": "email", **row} for row in rows]
    lake.write(pl.DataFrame(full, schema=MESSAGE_FACTS), "message_facts", f"{campaign}--20260301t090000z")


@pytest.fixture
def messages(people: Lake) -> Lake:
    sent = {"accepted_at": AS_OF - 5 * DAY, "delivered_at": AS_OF - 5 * DAY}
    first = [
        {"contact_id": "a", "variant": "plain", **sent, "opened_at": AS_OF - 4 * DAY, "clicked_at": AS_OF - 4 * DAY},
        {"contact_id": "b", "variant": "points", **sent, "machine_opened_at": AS_OF - 5 * DAY},
        {"contact_id": "c", "status": "held_out"},
    ]
    write_messages(people, "spring", first)
    write_messages(people, "summer", [{"contact_id": "a", "variant": "long", **sent, "opened_at": AS_OF}])
    return people


@pytest.fixture
def who(people: Lake) -> Who:
    def who(where: dict[str, Any], **more: Any) -> list[str]:
        segment = Segment.model_validate({"segment": "s", "where": where, "metrics": METRICS, **more})
        return members(people, segment, {}, AS_OF)["contact_id"].to_list()

    return who


def test_engagement_reads_columns_that_message_facts_have() -> None:
    assert set(MESSAGE_COLUMNS) <= set(MESSAGE_FACTS)
    others = [name for name, kind in MESSAGE_FACTS.items() if kind == TIME and name not in MESSAGE_COLUMNS]
    assert others == ["send_at", "converted_at"]  # a conversion is behaviour, which segments ask for as such


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        ({"what": "sent"}, ["a", "b"]),
        ({"what": "sent", "count": {"gte": 2}}, ["a"]),
        ({"what": "sent", "count": {"lt": 2}}, ["b", "c", "d"]),
        ({"what": "opened"}, ["a"]),
        ({"what": "opened", "campaign": "summer"}, []),  # as of is outside of every window
        ({"what": "machine_opened"}, ["b"]),
        ({"what": "delivered", "variant": ["points", "long"]}, ["a", "b"]),
        ({"what": "delivered", "campaign": ["spring", "summer"], "variant": "points"}, ["b"]),
        ({"what": "delivered", "channel": "sms"}, []),
        ({"what": "clicked", "within": "4d"}, ["a"]),
        ({"what": "clicked", "within": "95h"}, []),
        ({"what": "sent", "until": "2026-02-26"}, ["a", "b"]),
        ({"what": "sent", "until": "2026-02-25"}, []),
        ({"what": "sent", "since": "2026-02-26"}, []),
    ],
)
def test_engagement_counts_messages_by_when_it_happened_first(
    messages: Lake, who: Who, leaf: dict[str, Any], expected: list[str]
) -> None:
    assert who({"engaged": leaf}) == expected


def test_without_any_message_engagement_matches_nobody_whatever_it_names(who: Who) -> None:
    assert who({"engaged": {"what": "opened", "campaign": "not-sent-yet", "variant": "b"}}) == []
    assert who({"not": {"engaged": {"what": "sent"}}}) == ["a", "b", "c", "d"]


def test_a_campaign_without_messages_must_be_defined(messages: Lake, who: Who) -> None:
    where = {"engaged": {"what": "sent", "campaign": "sprnig"}}
    with pytest.raises(InvalidInput) as raised:
        who(where)
    assert raised.value.message == "segment s: where: campaign 'sprnig' is not known"
    assert raised.value.hint == "Did you mean 'spring'?"
    segment = Segment.model_validate({"segment": "s", "where": where})
    with open_session(messages, campaigns={"sprnig": frozenset({"a"})}) as session:
        assert members(session, segment, {}, AS_OF).height == 0


@pytest.mark.parametrize(
    ("where", "message", "hint"),
    [
        ({"engaged": {"what": "sent", "campaign": "winter"}}, "campaign 'winter' is not known", "spring, summer"),
        ({"engaged": {"what": "sent", "campaign": "spring", "variant": "long"}}, "variant 'long'", "plain, points"),
        ({"engaged": {"what": "sent", "variant": "plane"}}, "variant 'plane' is not known", "'plain'"),
        ({"list": "vip"}, "list 'vip': no contact has it", "'vips'"),
        ({"tag": ["shoes", "x"]}, "tag 'x': no contact has it", "There are: hats, shoes."),
        ({"reachable": "whatsapp"}, "does not say who is reachable by whatsapp", "new snapshot"),
        ({"metric": {"name": "free", "gt": 1}}, "property of purchase 'price'", "amount"),
        ({"metric": {"name": "never", "gt": 1}}, "event 'prchase' is not known", "'purchase'"),
        ({"rfm": {"event": "purchase", "amount": "amout", "monetary": {"eq": 1}}}, "'amout'", "'amount'"),
    ],
)
def test_names_that_are_not_known_are_errors(
    messages: Lake, who: Who, where: dict[str, Any], message: str, hint: str
) -> None:
    more = {"free": {"event": "purchase", "sum": "price"}, "never": {"event": "prchase", "count": "events"}}
    with pytest.raises(InvalidInput) as raised:
        who(where, metrics=METRICS | more)
    assert message in raised.value.message
    assert hint in raised.value.hint


def test_an_older_snapshot_knows_no_lists(lake: Lake) -> None:
    lake.write(pl.DataFrame({"contact_id": ["a"]}), "contact_snapshot")
    for where in ({"list": "vips"}, {"tag": "vips"}, {"reachable": "email"}):
        segment = Segment.model_validate({"segment": "s", "where": where})
        with pytest.raises(InvalidInput) as raised:
            members(lake, segment, {}, AS_OF)
        assert raised.value.hint == "Take a new snapshot: materialise contact_snapshot."


def test_the_short_forms_mean_the_long_one(who: Who) -> None:
    assert who({"list": "complaints"}) == who({"list": ["complaints"]}) == who({"list": {"any": "complaints"}}) == ["b"]
    assert who({"tag": ["hats", "shoes"]}) == ["a", "c"]
    assert who({"reachable": "email"}) == ["a", "c"]
    assert who({"reachable": {"any": ["email", "sms"]}}) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ({"name": "ltv", "gte": 30}, ["a"]),
        ({"name": "ltv", "lt": 1}, ["b"]),  # c has no number, d no event: no metric
        ({"name": "ltv", "eq": 0.000007}, ["b"]),
        ({"name": "ltv", "is_set": True}, ["a", "b"]),
        ({"name": "ltv", "is_set": False}, ["c", "d"]),
        ({"name": "orders", "is_set": True}, ["a", "b", "c"]),
        ({"name": "orders", "lt": 1.5}, ["c"]),  # a bound with a fraction is not cut off
        ({"name": "basket", "eq": 0.000004}, ["b"]),  # 0.0000035, half away from zero
        ({"name": "quiet", "between": [1, 1]}, ["a"]),
        ({"name": "quiet", "gt": 1.5}, ["b", "c"]),
        ({"name": "pace", "eq": 0.164384}, ["a", "b"]),  # 2 * 30 / 365
        ({"name": "orders", "percentile": {"eq": 50}}, ["a", "b"]),  # one of two others has less
        ({"name": "orders", "percentile": {"lt": 50}}, ["c"]),
        ({"name": "quiet", "percentile": {"between": [50, 100]}}, ["b", "c"]),
        ({"name": "ltv", "percentile": {"gte": 100}}, ["a"]),
    ],
)
def test_a_metric_is_compared_exactly(who: Who, test: dict[str, Any], expected: list[str]) -> None:
    assert who({"metric": test}) == expected


def test_the_only_one_with_a_metric_has_percentile_0(who: Who) -> None:
    metrics = {"rich": {"event": "purchase", "sum": "amount", "where": [{"prop": "amount", "gt": 15}]}}
    assert who({"metric": {"name": "rich", "percentile": {"lte": 0}}}, metrics=metrics) == ["a"]
    assert who({"metric": {"name": "rich", "percentile": {"gt": 0}}}, metrics=metrics) == []


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"recency": {"eq": 4}}, ["a"]),  # two of three have less: 1 + floor(10 / 3)
        ({"recency": {"eq": 1}}, ["b", "c"]),
        ({"frequency": {"gte": 2}}, ["a", "b"]),
        ({"monetary": {"lte": 2}, "amount": "amount"}, ["b", "c"]),
        ({"monetary": {"eq": 4}, "recency": {"eq": 4}, "amount": "amount"}, ["a"]),
        ({"recency": {"gte": 1}}, ["a", "b", "c"]),
        ({"recency": {"gte": 1}, "within": "1d"}, ["a"]),
    ],
)
def test_scores_rank_those_who_have_such_an_event(who: Who, scores: dict[str, Any], expected: list[str]) -> None:
    assert who({"rfm": {"event": "purchase", **scores}}) == expected


def test_evidence_says_the_values_that_decide(messages: Lake) -> None:
    where = {
        "all": [
            {"list": "vips"},
            {"reachable": ["email", "sms"]},
            {"engaged": {"what": "opened"}},
            {"metric": {"name": "ltv", "gt": 1}},
            {"metric": {"name": "orders", "percentile": {"gt": 10}}},
            {"rfm": {"event": "purchase", "amount": "amount", "recency": {"gte": 1}, "monetary": {"gte": 1}}},
        ]
    }
    segment = Segment.model_validate(
        {"segment": "s", "where": where, "metrics": METRICS, "sample": {"percent": 100, "seed": "s"}}
    )
    found = explain(messages, segment, {}, AS_OF, "a")
    assert found.is_member
    evidence = {line.path: line.evidence for line in found.lines}
    assert evidence["where.all.0"] == {"lists": ["vips"]}
    assert evidence["where.all.1"] == {"reachable_email": True, "reachable_sms": True}
    assert evidence["where.all.2"] == {"messages": 1, "first": AS_OF - 4 * DAY, "last": AS_OF - 4 * DAY}
    assert evidence["where.all.3"] == {"ltv": Decimal(30)}
    assert evidence["where.all.4"] == {"orders": Decimal(2), "percentile of orders": Decimal(50)}
    assert evidence["where.all.5"] == {"recency": 4, "monetary": 4}
    assert 0 <= evidence["sample"]["place"] < 10_000


def test_a_metric_that_stands_on_many_lines_is_worked_out_once(people: Lake) -> None:
    lines = [{"metric": {"name": "ltv", "percentile": {"gte": percent}}} for percent in (10, 20, 30)]
    lines += [{"metric": {"name": "again", "gt": 5}}, {"metric": {"name": "ltv", "lt": 5}}]
    metrics = {"ltv": METRICS["ltv"], "again": METRICS["ltv"]}
    other = Segment.model_validate({"segment": "other", "where": {"any": lines}, "metrics": metrics})
    segment = Segment.model_validate(
        {"segment": "s", "where": {"any": [*lines, {"segment": "other"}]}, "metrics": metrics}
    )
    catalogue = read_catalogue(people)
    compiled = compiler(segment, {"other": other}, catalogue, lake_tables(catalogue), AS_OF)
    text, _ = duckdb_sql(compiled.members(segment))
    assert text.count("FROM behaviour") == 1
    assert text.count(" AS MATERIALIZED") == 2  # the values, and their ranks


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"metrics": {"a": {"event": "b", "count": "clicks"}}}, "Input should be 'events'"),
        ({"metrics": {"a": {"event": "b"}}}, "no measure: exactly one is needed of count, sum"),
        ({"metrics": {"a": {"event": "b", "frequency": "7d"}}}, "frequency needs within"),
        ({"metrics": {"A b": {"event": "b", "count": "events"}}}, "metric name 'A b' is not usable"),
        ({"where": {"metric": {"name": "lvt", "gt": 1}}}, "where.metric.name: metrics has no 'lvt'; did you mean ltv?"),
        ({"where": {"metric": {"name": "ltv"}}}, "no test: exactly one is needed"),
        ({"where": {"metric": {"name": "ltv", "percentile": {"gt": 101}}}}, "a percentile is a number from 0 to 100"),
        ({"where": {"rfm": {"event": "a"}}}, "at least one is needed of recency, frequency, monetary"),
        ({"where": {"rfm": {"event": "a", "recency": {"gte": 6}}}}, "a score is a whole number from 1 to 5"),
        ({"where": {"rfm": {"event": "a", "monetary": {"gte": 5}}}}, "monetary needs amount"),
        ({"where": {"list": []}}, "is empty"),
        ({"where": {"list": {"all": ["a"]}}}, "Extra inputs are not permitted"),
        ({"where": {"reachable": "pigeon"}}, "Input should be 'email', 'sms', 'whatsapp' or 'webhook'"),
        ({"where": {"engaged": {"what": "smelled"}}}, "Input should be 'sent', 'delivered'"),
    ],
)
def test_what_is_wrong_is_refused(change: dict[str, Any], problem: str) -> None:
    right = {"segment": "s", "where": {"metric": {"name": "ltv", "gt": 1}}, "metrics": METRICS}
    assert Segment.model_validate(right)
    with pytest.raises(ValueError, match="validation error") as raised:
        Segment.model_validate(right | change)
    assert problem in str(raised.value)
