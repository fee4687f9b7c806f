"""Looking at a segment before anybody is sent to."""

from datetime import datetime

import polars as pl

from campaign_pipeline.contacts.snapshot import write_snapshot
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.segments.evaluate import preview
from campaign_pipeline.segments.preview import Preview
from campaign_pipeline.segments.store import load_segments


def preview_segment(installation: Installation, name: str, as_of: datetime, *, fresh: bool = True) -> Preview:
    """The preview of segment `name` at `as_of`, on the contacts as they are now (`fresh`) or as last snapshotted."""
    with reading(installation.engine) as connection:
        library = load_segments(connection)
    if name not in library:
        names = ", ".join(library) or "none"
        raise NotFound(f"segment {name!r} does not exist", f"There are: {names}. Load some with: campaigns apply DIR")
    if fresh or not installation.lake.exists("contact_snapshot"):
        write_snapshot(installation.engine, installation.lake)
    return preview(installation.lake, library[name], library, as_of)


def line_by_line(shown: Preview) -> pl.DataFrame:
    """The preview's lines: line (indented by depth), matches, remains."""
    return pl.DataFrame(
        {
            "line": [" · " * line.depth + line.text for line in shown.lines],
            "matches": [line.matches for line in shown.lines],
            "remains": [line.remains for line in shown.lines],
        }
    )
