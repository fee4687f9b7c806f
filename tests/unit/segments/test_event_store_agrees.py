"""Property test: a segment has the same members and counts with the event store as without."""

import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.evaluate import members, preview
from campaign_pipeline.segments.event_store import build_features
from campaign_pipeline.segments.session import open_session

sys.path.insert(0, str(Path(__file__).parent))  # the helper beside this file

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
    return {"did": {"event": draw(st.sampled_from(EVENTS)), **window, **odd, **until, **count}}


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
    from_features = [0]

    @hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
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
        covered = type(features).at_least

        def counting(*args: Any) -> Any:
            found = covered(*args)
            from_features[0] += found is not None
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(features), "at_least", counting)
            agree()
    assert from_features[0] > 100, "hardly anything was answered from the features"


def test_random_segments_are_the_same_with_the_event_store(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    draw = random.Random(20260330)
    lake.write(pl.DataFrame(rw.contacts(draw), infer_schema_length=None), "contact_snapshot")
    lake.write(pl.DataFrame(rw.events(draw), infer_schema_length=None), "behaviour", "first")
    build_features(lake)

    @hypothesis_settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(rw.libraries(), st.sampled_from([rw.AS_OF, rw.AS_OF + timedelta(days=2)]))
    def agree(definitions: dict[str, dict[str, Any]], as_of: datetime) -> None:
        library = {name: Segment.model_validate(one) for name, one in definitions.items()}
        for name in definitions:
            found = [members(one, library[name], library, as_of) for one in (fast, plain)]
            assert found[0].equals(found[1])
            shown = [preview(one, library[name], library, as_of) for one in (fast, plain)]
            assert shown[0] == shown[1]
            assert shown[0].count == found[0].height

    with open_session(lake) as fast, open_session(lake, use_store=False) as plain:
        agree()
