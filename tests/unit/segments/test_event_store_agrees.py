"""Property test: a segment has the same members and counts with the event store as without."""

import random
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.definition import Segment, walk
from campaign_pipeline.segments.evaluate import explain, members, preview
from campaign_pipeline.segments.event_store import build_features
from campaign_pipeline.segments.nodes.engaged import What
from campaign_pipeline.segments.session import open_session
from campaign_pipeline.segments.tree import NODE_TYPES

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside this file

import random_people as people
import random_world as rw

AS_OF = datetime(2026, 3, 30, 1, 30, tzinfo=UTC)
LATER = AS_OF + timedelta(days=2)  # after every event: features answer then
TIMES = [AS_OF + timedelta(days=1), AS_OF - timedelta(days=30, microseconds=1), AS_OF, AS_OF - timedelta(days=7)]
TIMES += [AS_OF - timedelta(hours=12), LATER - timedelta(days=2, microseconds=1), LATER - timedelta(days=2)]
EVENTS = ["purchase", "visit", "it's"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Contacts, and files of events: of some contacts many more than features keep, of some none, of others besides."""
    lake = Lake(tmp_path_factory.mktemp("it's [a] lake"))
    draw = random.Random(5)
    lake.write(pl.DataFrame(rw.contacts(draw), infer_schema_length=None), "contact_snapshot")
    for name, number in (("first", 90), ("second", 400)):
        rows = [
            {
                "event_id": f"{name}-{n}",
                "contact_id": f"{draw.choice([0, 0, 1, *range(20), 999]):024x}",
                "event": draw.choice(EVENTS),
                "occurred_at": draw.choice(TIMES),
                "properties": "{}",
            }
            for n in range(number)
        ]
        lake.write(pl.DataFrame(rows).sort("occurred_at"), "behaviour", name)
    build_features(lake)
    return lake


@st.composite
def dids(draw: st.DrawFn) -> dict[str, Any]:
    window = draw(
        st.sampled_from([{}, {"within": "2d"}, {"within": "9d"}, {"within": "60d"}, {"since": "2026-03-30T01:30:00Z"}])
    )
    until = draw(st.sampled_from([{}, {}, {"until": "2026-03-30T01:31:00Z"}, {"until": "2026-03-31T02:00:00Z"}]))
    odd = draw(st.sampled_from([{}, {}, {"since": "2026-03-30T01:29:59.999999Z"}, {"since": "2020-01-01"}]))
    test = draw(st.sampled_from(["gte", "lte", "eq", "gt", "lt"]))
    count = draw(st.sampled_from([{}, {"count": {test: draw(st.integers(0, 12))}}]))
    event = draw(st.sampled_from(EVENTS))
    one_time = draw(st.sampled_from(["first_did", "last_did", "did", "did", "stopped"]))
    if one_time == "stopped":
        return {"stopped": {"event": event, "for": draw(st.sampled_from(["12h", "2d", "7d"])), **draw(WITHIN)}}
    if one_time == "did" or not (window | odd | until):
        return {"did": {"event": event, **window, **odd, **until, **count}}
    return {one_time: {"event": event, **window, **odd, **until}}


WITHIN = st.sampled_from([{}, {"within": "9d"}, {"within": "32d"}])
TREES = st.recursive(
    dids(),
    lambda inner: st.one_of(
        st.builds(lambda nodes: {"all": nodes}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda nodes: {"any": nodes}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda node: {"not": node}, inner),
    ),
    max_leaves=5,
)


def test_counted_events_are_the_same_from_the_features_as_from_the_files(lake: Lake) -> None:
    answered: Counter[str] = Counter()

    @hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(TREES, st.sampled_from([LATER, LATER, LATER + timedelta(microseconds=1), AS_OF]))
    def agree(tree: dict[str, Any], as_of: datetime) -> None:
        segment = Segment.model_validate({"segment": "drawn", "where": tree})
        fast_members, plain_members = (members(one, segment, {}, as_of) for one in (fast, plain))
        assert fast_members.equals(plain_members)
        fast_preview, plain_preview = (preview(one, segment, {}, as_of) for one in (fast, plain))
        assert fast_preview == plain_preview
        assert fast_preview.count == plain_members.height
        assert fast_preview.sample == plain_members["contact_id"].to_list()[:10]

    with open_session(lake) as fast, open_session(lake, use_store=False) as plain:
        assert (fast.has_store, plain.has_store) == (True, False)
        features = fast.tables.features
        assert features is not None

        def counting(name: str) -> Callable[..., Any]:
            method = getattr(type(features), name)

            def counted(*args: Any) -> Any:
                found = method(*args)
                answered[name] += found is not None
                return found

            return counted

        with pytest.MonkeyPatch.context() as patch:
            for name in ("counted", "time_in"):
                patch.setattr(type(features), name, counting(name))
            agree()
    assert min(answered["counted"], answered["time_in"]) > 10, "hardly anything was answered from the features"


@pytest.fixture(scope="module")
def world_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The world in which the evaluators are compared, with its lists, tags and messages."""
    lake = Lake(tmp_path_factory.mktemp("world"))
    draw = random.Random(20260330)
    contacts = people.with_people(rw.contacts(draw), draw)
    lake.write(pl.DataFrame(contacts, infer_schema_length=None), "contact_snapshot")
    lake.write(pl.DataFrame(rw.events(draw), infer_schema_length=None), "behaviour", "first")
    times = {what.column: pl.Datetime("us", "UTC") for what in What}
    messages = pl.DataFrame(people.messages(contacts, rw.TIMES, draw), infer_schema_length=None, schema_overrides=times)
    lake.write(messages, "message_facts", "run")
    build_features(lake)
    return lake


@st.composite
def of_every_kind(draw: st.DrawFn) -> dict[str, Any]:
    """A segment with leaves of all kinds, of which a preview compares each, and with what may follow them."""
    histories = [draw(rw.histories()) for _ in range(3)]
    others = [draw(one) for one in people.nodes(rw.EVENTS, rw.WINDOWS)]
    nodes = [draw(rw.traits()), draw(rw.dids()), draw(rw.sequences()), *histories, *others]
    return {"segment": "drawn", "where": {"any": nodes}, **draw(people.ends(rw.traits(), ()))}


def test_leaves_of_every_kind_match_the_same_with_the_event_store(world_lake: Lake) -> None:
    @hypothesis_settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(of_every_kind(), st.sampled_from([rw.AS_OF, rw.AS_OF + timedelta(days=2)]))
    def agree(definition: dict[str, Any], as_of: datetime) -> None:
        drawn = Segment.model_validate(definition)
        seen.update(key for line in walk(drawn) for key in type(line.node).model_fields)
        shown = [preview(one, drawn, {}, as_of) for one in (fast, plain)]
        assert shown[0] == shown[1]
        who = [members(one, drawn, {}, as_of)["contact_id"].to_list() for one in (fast, plain)]
        assert who[0] == who[1]
        assert (shown[0].count, shown[0].sample) == (len(who[0]), who[0][:10])
        (somebody,) = plain.contact_ids([len(who[0]) % plain.total])
        explained = [explain(one, drawn, {}, as_of, somebody) for one in (fast, plain)]
        assert explained[0] == explained[1]
        assert explained[0].is_member == (somebody in who[0])

    seen: set[str] = set()
    with open_session(world_lake) as fast, open_session(world_lake, use_store=False) as plain:
        assert fast.has_store
        agree()
    histories = {"first_did", "last_did", "stopped", "restarted"}
    assert set(NODE_TYPES) - histories - {"all", "not", "segment"} <= seen
    assert histories & seen
