"""Segments in the operational database: every definition that was applied, as immutable versions."""

from datetime import datetime

import sqlalchemy as sa

from campaign_pipeline.core.tables import segment_versions
from campaign_pipeline.core.versions import Change, apply_version, newest_version, newest_versions
from campaign_pipeline.segments.definition import Segment


def apply_segment(connection: sa.Connection, segment: Segment, at: datetime) -> Change:
    """Keep the definition as a version, if it is new or changed. Check references first (references.py)."""
    # Defaults are written out: what a kept version means must not change with a later default.
    definition = segment.model_dump(mode="json", by_alias=True, exclude_none=True)
    return apply_version(connection, segment_versions, segment.segment, definition, at)[0]


def load_segment(connection: sa.Connection, name: str) -> Segment:
    """The newest version of segment `name`; NotFound names what there is."""
    return Segment.model_validate(newest_version(connection, segment_versions, name).definition)


def load_segments(connection: sa.Connection) -> dict[str, Segment]:
    """The newest version of every segment, by name."""
    return {
        name: Segment.model_validate(newest.definition)
        for name, newest in newest_versions(connection, segment_versions).items()
    }
