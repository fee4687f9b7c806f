"""Posts that are read many at a time give what the reference parser gives, one by one; odd ones are left to it."""

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from payloads import NOW, RUN, sendgrid_item

from campaign_pipeline.events.bulk import Located, events_of, read_posts
from campaign_pipeline.events.normalise import WORKING, normalise, to_working
from campaign_pipeline.events.record import Record

EVENTS = (
    *("processed", "deferred", "delivered", "bounce", "dropped", "cancel_drop", "open", "click", "spamreport"),
    *("unsubscribe", "group_unsubscribe", "group_resubscribe", "account_status_change", "öffnen"),
)
TEXT = st.text(max_size=8) | st.sampled_from(["4.2.2", "5.1.1", "bounce", "blocked", "Bounced Address", "a.filter1.b"])
FIELDS = {
    "run_id": st.sampled_from([RUN, "../../etc", "spring-sale--２０２６0302t090000z"]) | TEXT,
    "message_id": st.sampled_from(["c" * 24, "C" * 24, "c" * 24 + "\n"]) | TEXT,
    "sg_message_id": st.sampled_from(["wrf.filter0425.1.0", "x.recvd-1.0", "a.recvd.filter", ""]) | TEXT,
    "sg_event_id": TEXT,
    "url": st.sampled_from(["https://a.example/?q=ü&b=1", ""]) | TEXT,
    "status": TEXT,
    "type": TEXT,
    "reason": st.sampled_from(["Unsubscribed Address", "INVALID", "Spam Reporting Address"]) | TEXT,
    "attempt": st.sampled_from(["1", "0", "007", "1234567890", "²", "-1", "1.0"]) | TEXT,
    "email": TEXT,
    "useragent": TEXT,
    "ip": st.sampled_from(["203.0.113.7", "2001:db8:1:2::3", "::ffff:192.0.2.1", "1.2.3", "01.2.3.4"]) | TEXT,
}
PLAIN = st.fixed_dictionaries(
    {"event": st.sampled_from(EVENTS), "timestamp": st.integers(0, 99_999_999_999)},
    optional={**FIELDS, "sg_machine_open": st.booleans() | st.none(), "url_offset": st.just({"index": 0, "type": "x"})},
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
HOSTILE = st.builds(
    lambda item, name, value: item | {name: value}, PLAIN, st.sampled_from(["event", "timestamp", *FIELDS]), JSON
)
SNIPPETS = (
    *('[{"event":"open","event":"click","timestamp":1}]', '[{"event":"open","timestamp":1,"timestamp":null}]'),
    *('[{"event":"open","timestamp":1},]', '[{"event":"open","timestamp":NaN}]', '[{"event":"open","timestamp":1e2}]'),
    *('[{"event":"o\\u0000pen","timestamp":1,"url":"\\u0000"}]', '[{"event":"open","timestamp":1,"url":"\\ud800"}]'),
    *('[{"ev\\u0065nt":"open","timestamp":1}]', '[{"event":"open","timestamp":1.5}]', "[]", "{}", "[[]]", "[null]"),
    *('[{"event":"open","timestamp":"1"}]', '[{"event":"open","timestamp":true}]', '[{"event":"","timestamp":1}]'),
    *('[{"event":"open","timestamp":-1}]', '[{"event":"open","timestamp":253402300800}]', '\ufeff[{"event":"open"}]'),
    '[{"event":"open","timestamp":1,"x":' + "[" * 1200 + "]" * 1200 + "}]",
    '[{"event":"open","timestamp":' + "9" * 400 + "}]",
)
BODIES = (
    st.lists(PLAIN, max_size=3).map(lambda items: orjson.dumps(items).decode())
    | st.lists(PLAIN | HOSTILE | JSON, max_size=3).map(json.dumps)
    | st.sampled_from(SNIPPETS)
    | st.text(max_size=5)
)


def records(bodies: list[str]) -> list[Located]:
    return [(10 * n, Record(NOW, "sendgrid", "events", {}, body)) for n, body in enumerate(bodies)]


def assert_same(given_: list[Located]) -> pl.DataFrame:
    bulk, others = read_posts(given_)
    events, rejections = normalise(others)
    expected, expected_rejections = normalise(given_)
    assert rejections == expected_rejections
    found = pl.concat([bulk, to_working(events)])
    key = ["event_id", "type", "reason", "run_id", "user_agent", "network", "attempt", "address"]
    wanted = to_working(expected).sort(key, nulls_last=True, maintain_order=True)
    assert found.sort(key, nulls_last=True, maintain_order=True).to_dicts() == wanted.to_dicts()
    return bulk


@hypothesis_settings(max_examples=150)
@given(st.lists(BODIES, min_size=1, max_size=4))
@example(list(SNIPPETS))
def test_both_ways_of_reading_agree(bodies: list[str]) -> None:
    assert_same(records(bodies))


@hypothesis_settings(max_examples=50)
@given(st.lists(PLAIN, min_size=1, max_size=4))
def test_plain_posts_are_all_read_together(items: list[dict[str, Any]]) -> None:
    given_ = records([orjson.dumps([item]).decode() for item in items])
    bulk = assert_same(given_)
    assert bulk.height == len(items)
    assert dict(bulk.schema) == WORKING
    assert to_working(normalise(given_)[0]).equals(bulk), "in the same order, too"


def test_only_the_odd_post_is_left_to_the_reference() -> None:
    odd = orjson.dumps([sendgrid_item("open"), sendgrid_item("open", timestamp="1772539200")]).decode()
    given_ = records([orjson.dumps([sendgrid_item("open")]).decode(), odd])
    given_.append((99, Record(NOW, "twilio", "status", {}, "MessageSid=SM1&MessageStatus=sent")))
    bulk, others = read_posts(given_)
    assert (bulk.height, others) == (1, given_[1:])


@pytest.mark.parametrize("event", ["bounce", "spamreport", "unsubscribe", "dropped"])
def test_what_has_consequences_is_the_same_event_as_from_the_reference(event: str) -> None:
    item = sendgrid_item(event, type="blocked", reason="Invalid", status="5.1.1")
    given_ = records([orjson.dumps([item]).decode()])
    [found], [expected] = events_of(read_posts(given_).rows), normalise(given_)[0]
    expected.identity = found.identity
    assert found == expected
    assert found.suppress


def test_of_an_address_its_network_is_kept() -> None:
    items = [sendgrid_item("click", url="https://a", ip=ip) for ip in ("203.0.113.7", "2001:db8:1:2::3", "x")]
    items.append(sendgrid_item("delivered", ip="203.0.113.7", useragent="x"))
    rows = read_posts(records([orjson.dumps(items).decode()])).rows
    assert rows["network"].to_list() == ["203.0.113.0/24", "2001:db8:1::/48", None, None]
    assert rows["occurred_at"][0] == datetime(2026, 3, 3, 12, tzinfo=UTC)
