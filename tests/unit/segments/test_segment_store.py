"""Segments in the operational database."""

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.clock import utc_now
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.tables import segment_versions
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.store import apply_segment, load_segment, load_segments

BUYERS = {
    "segment": "buyers",
    "timezone": "Europe/Berlin",
    "where": {
        "all": [
            {"trait": {"field": "country", "in": ["DE", "AT"]}},
            {"not": {"did": {"event": "purchase", "within": "30d", "where": [{"prop": "amount", "gte": 5}]}}},
            {"any": [{"segment": "vip"}, {"trait": {"field": "vip", "is_set": False}}]},
        ]
    },
}


def test_applying_again_adds_nothing_and_a_change_adds_a_version(engine: sa.Engine) -> None:
    segment = Segment.model_validate(BUYERS)
    later = segment.model_copy(update={"description": "Those who buy"})
    with writing(engine) as connection:
        changes = [apply_segment(connection, one, utc_now()) for one in (segment, segment, later, later)]
    assert changes == ["new", "unchanged", "changed", "unchanged"]
    with reading(engine) as connection:
        assert load_segments(connection) == {"buyers": later}
        assert load_segment(connection, "buyers") == later


def test_a_kept_version_says_its_defaults(engine: sa.Engine) -> None:
    """So that what it means does not change when a default does."""
    with writing(engine) as connection:
        where = {"did": {"event": "purchase"}}
        apply_segment(connection, Segment.model_validate({"segment": "buyers", "where": where}), utc_now())
        kept = connection.scalar(sa.select(segment_versions.c.definition))
    did = {"event": "purchase", "count": {"gte": 1}, "where": []}
    defaults = {"description": "", "timezone": "UTC", "metrics": {}, "exclude": []}
    assert kept == {"segment": "buyers", "where": {"did": did}, **defaults}


def test_a_segment_that_was_not_applied_is_not_found(engine: sa.Engine) -> None:
    with reading(engine) as connection, pytest.raises(NotFound, match="segment 'gone' does not exist"):
        load_segment(connection, "gone")
