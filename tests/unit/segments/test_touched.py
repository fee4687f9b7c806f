"""Near real time: who was touched, and that looking at these only is as good as looking at everybody."""

import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.among import moves_others, reads, session_among
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.evaluate import members
from campaign_pipeline.segments.event_store import build_features
from campaign_pipeline.segments.leftovers import ABANDONED
from campaign_pipeline.segments.membership import MEMBERSHIP_SCHEMA, Found, compare
from campaign_pipeline.segments.nodes.engaged import What
from campaign_pipeline.segments.session import open_session
from campaign_pipeline.segments.touched import (
    FINGERPRINTS,
    Inputs,
    event_files,
    remember_inputs,
    remembered_inputs,
    remove_old_fingerprints,
    take_fingerprints,
    touched,
)

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside this file

import random_people as people
import random_world as rw

TIME = pl.Datetime("us", "UTC")
CONTACT_TYPES = {"contact_id": pl.String, "country": pl.String, "points": pl.Int64, "score": pl.Float64}
CONTACT_TYPES |= {"vip": pl.Boolean, "order": pl.String, "created_at": TIME, "birthday": pl.String}
CONTACT_TYPES |= {"lists": pl.List(pl.String), "tags": pl.List(pl.String)}
CONTACT_TYPES |= {f"reachable_{channel}": pl.Boolean for channel in people.CHANNELS}
EVENT_TYPES = {"event_id": pl.String, "contact_id": pl.String, "event": pl.String, "occurred_at": TIME}
EVENT_TYPES |= {"properties": pl.String}
MESSAGE_TYPES = {**dict.fromkeys(("run_id", "campaign", "channel", "contact_id", "variant"), pl.String)}
MESSAGE_TYPES |= {what.column: TIME for what in What}


def write_contacts(lake: Lake, contacts: list[dict[str, Any]]) -> None:
    lake.write(pl.DataFrame(contacts, schema=CONTACT_TYPES), "contact_snapshot")


def write_events(lake: Lake, events: list[dict[str, Any]], name: str) -> None:
    lake.write(pl.DataFrame(events, schema=EVENT_TYPES), "behaviour", name)


def write_messages(lake: Lake, messages: list[dict[str, Any]], name: str) -> None:
    lake.write(pl.DataFrame(messages, schema=MESSAGE_TYPES), "message_facts", name)


def inputs(lake: Lake) -> Inputs:
    return event_files(lake, ("behaviour", "message_facts")) | take_fingerprints(lake)


@dataclass(frozen=True)
class Moved:
    """A lake as it was, and as it is: some contacts have new events or messages, changed, are new or are gone."""

    was: Lake
    now: Lake
    who: pl.Series


@pytest.fixture(scope="module", params=range(3))
def moved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Moved:
    draw = random.Random(20260330)  # a world in which every property has every type that the trees ask for
    was, now = Lake(tmp_path_factory.mktemp("was")), Lake(tmp_path_factory.mktemp("now"))
    contacts, events = rw.contacts(draw), rw.events(draw)
    contacts = people.with_people(contacts, draw)
    messages = people.messages(contacts, rw.TIMES, draw)
    for lake in (was, now):
        write_contacts(lake, contacts)
        write_events(lake, events, "early")
        write_messages(lake, messages, "early")
    before = inputs(now)
    draw.seed(request.param)
    others = people.with_people(rw.contacts(draw), draw)
    kept = [others[n] if draw.random() < 0.1 else each for n, each in enumerate(contacts) if draw.random() > 0.05]
    write_contacts(now, [*kept, {**others[0], "contact_id": f"{500:024x}"}])
    write_events(now, rw.events(draw, number=6), "late")
    write_messages(now, people.messages(draw.sample(contacts, 3), rw.TIMES, draw), "late")
    who = touched(now, before, inputs(now))
    assert who is not None
    assert 3 < len(who) < 20
    return Moved(was, now, who)


def test_the_touched_only_are_as_good_as_everybody(moved: Moved) -> None:
    """Last membership and the touched contacts' changes give what a full evaluation gives, if time stands still.

    All but those rules for which near real time looks at everybody.
    """
    at = rw.AS_OF

    def found(who: pl.DataFrame, among: pl.Series | None = None) -> Found:
        return Found("drawn", "rule", at, who, evaluated_at=at, among=among)

    @hypothesis_settings(max_examples=60, deadline=None)
    @given(library=rw.libraries())
    def holds(library: dict[str, dict[str, Any]]) -> None:
        segments = {name: Segment.model_validate(raw) for name, raw in library.items()}
        segment = segments["drawn"]
        assume(not moves_others(segment, segments))
        then, everybody, some = (members(session, segment, segments, at) for session in (was, now, among))
        before, _ = compare(pl.DataFrame(schema=MEMBERSHIP_SCHEMA), found(then))
        whole, delta = compare(before, found(everybody)), compare(before, found(some, moved.who))
        assert delta[0].equals(whole[0])
        assert delta[1].equals(whole[1])

    with open_session(moved.was) as was, open_session(moved.now) as now, open_session(moved.now) as narrowed:
        among = session_among(narrowed, moved.who)
        assert among is not None
        holds()


def test_there_is_no_session_among_nobody(three: Lake) -> None:
    with open_session(three) as session:
        assert session_among(session, pl.Series(["x"])) is None


@pytest.mark.parametrize("with_store", [False, True])
def test_a_session_among_some_knows_these_and_what_they_did(three: Lake, with_store: bool) -> None:
    write_events(three, [event("a"), event("b"), event("x")], "two")
    if with_store:
        build_features(three)
    segment = Segment.model_validate({"segment": "often", "where": {"did": {"event": "visit", "count": {"gte": 2}}}})
    with open_session(three) as session:
        assert session.has_store == with_store
        among = session_among(session, pl.Series(["a", "c", "x"]))
        assert among is not None
        assert among.total == 2
        found = members(among, segment, {}, rw.AS_OF + timedelta(days=1))
        assert found["contact_id"].to_list() == ["a"]
        contact = among.tables.contacts.c.contact_id
        assert among.run(sa.select(contact).order_by(contact))["contact_id"].to_list() == ["a", "c"]
        assert among.run(sa.select(sa.func.count()).select_from(among.tables.events)).item() == 2


RULES: list[tuple[dict[str, Any], bool, bool]] = [
    ({"where": {"did": {"event": "visit"}}}, False, False),
    ({"where": {"metric": {"name": "visits", "gte": 2}}}, False, False),
    ({"where": {"not": {"metric": {"name": "visits", "percentile": {"gte": 80}}}}}, False, True),
    ({"where": {"rfm": {"event": "visit", "recency": {"gte": 4}}}}, False, True),
    ({"where": {"trait": {"field": "country", "is_set": True}}, "limit": {"n": 3}}, False, True),
    ({"where": {"any": [{"engaged": {"what": "opened"}}]}}, True, False),
    ({"where": {"segment": "below"}}, True, True),
    ({"where": {"trait": {"field": "country", "is_set": True}}, "exclude": ["segment:below"]}, True, True),
]


@pytest.mark.parametrize(("rule", "engaged", "compares"), RULES)
def test_what_a_rule_reads_and_whether_it_compares_contacts(
    rule: dict[str, Any], engaged: bool, compares: bool
) -> None:
    metrics = {"visits": {"event": "visit", "count": "events"}}
    segment = Segment.model_validate({"segment": "drawn", "metrics": metrics, **rule})
    below = {"segment": "below", "where": {"engaged": {"what": "opened"}}, "limit": {"n": 3}}
    library = {"drawn": segment, "below": Segment.model_validate(below)}
    assert reads(segment, library) == {"behaviour"} | ({"message_facts"} if engaged else set())
    assert moves_others(segment, library) == compares


@pytest.fixture
def three(lake: Lake) -> Lake:
    """Three contacts, a, b and c; one event of a."""
    write_contacts(lake, [person(name) for name in "abc"])
    write_events(lake, [event("a")], "one")
    return lake


def person(name: str, **fields: Any) -> dict[str, Any]:
    return {"contact_id": name, "country": "DE", **fields}


def event(name: str) -> dict[str, Any]:
    return {"event_id": name, "contact_id": name, "event": "visit", "occurred_at": rw.AS_OF, "properties": "{}"}


def test_nobody_is_touched_when_nothing_happened(three: Lake) -> None:
    before = inputs(three)
    write_contacts(three, [person(name) for name in "cab"])  # written anew, in another order
    who = touched(three, before, inputs(three))
    assert who is not None
    assert who.to_list() == []


CHANGES: list[tuple[str, Callable[[Lake], None], list[str]]] = [
    ("a value", lambda lake: write_contacts(lake, [person("a", points=1), person("b"), person("c")]), ["a"]),
    ("a value gone", lambda lake: write_contacts(lake, [person("a", country=None), person("b"), person("c")]), ["a"]),
    ("a new contact", lambda lake: write_contacts(lake, [person(name) for name in "abcd"]), ["d"]),
    ("an erased contact", lambda lake: write_contacts(lake, [person(name) for name in "ac"]), ["b"]),
    ("new events", lambda lake: write_events(lake, [event("c"), event("c"), event("x")], "two"), ["c", "x"]),
    ("a file written anew", lambda lake: write_events(lake, [event("b"), event("b")], "one"), ["b"]),
]


@pytest.mark.parametrize(("change", "who"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES])
def test_who_was_touched(three: Lake, change: Callable[[Lake], None], who: list[str]) -> None:
    before = inputs(three)
    change(three)
    found = touched(three, before, inputs(three))
    assert found is not None
    assert found.to_list() == who


def test_what_cannot_be_told_is_not_guessed(three: Lake) -> None:
    before = inputs(three)
    assert touched(three, event_files(three), before) is None  # no snapshot was kept
    assert touched(three, frozenset(), before) is None  # never evaluated
    three.path("behaviour", "one").unlink()
    assert touched(three, before, inputs(three)) is None  # whose events these were is not known any more
    write_events(three, [event("a")], "one")
    for stamp in three.partitions(FINGERPRINTS):
        three.path(FINGERPRINTS, stamp).unlink()
    write_contacts(three, [person("a")])
    assert touched(three, before, inputs(three)) is None


def test_inputs_are_remembered_by_segment(three: Lake) -> None:
    before = inputs(three)
    remember_inputs(three, "vips", before)
    assert remembered_inputs(three, "vips") == before
    assert remembered_inputs(three, "others") == frozenset()


def test_fingerprints_hold_no_personal_data_and_do_not_pile_up(three: Lake) -> None:
    before = inputs(three)
    assert inputs(three) == before
    (stamp,) = three.partitions(FINGERPRINTS)
    assert dict(three.read(FINGERPRINTS, stamp).schema) == {"contact_id": pl.String, "fingerprint": pl.UInt64}
    remember_inputs(three, "vips", before)
    write_contacts(three, [person("a")])
    inputs(three)
    remove_old_fingerprints(three, ["vips"])
    assert len(three.partitions(FINGERPRINTS)) == 2  # somebody may be about to use the new ones
    long_ago = time.time() - ABANDONED.total_seconds() - 1
    for each in three.partitions(FINGERPRINTS):
        os.utime(three.path(FINGERPRINTS, each), (long_ago, long_ago))
    remove_old_fingerprints(three, ["vips", "others"])
    assert three.partitions(FINGERPRINTS) == [stamp]
    remove_old_fingerprints(three, [])
    assert three.partitions(FINGERPRINTS) == []
