"""Looking at a segment before anybody is sent to: who is in it, why, and what another definition would change."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.rollout import Part, within
from campaign_pipeline.campaigns.store import Run, load_campaigns
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import AudienceStatus
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.operations.apply import read_folder
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.snapshot import take_snapshot
from campaign_pipeline.segments.catalogue import CONTACTS, nearest
from campaign_pipeline.segments.definition import Segment, read_segment_file
from campaign_pipeline.segments.diff import SegmentDiff
from campaign_pipeline.segments.evaluate import diff, explain, members, preview
from campaign_pipeline.segments.explain import Explanation
from campaign_pipeline.segments.preview import Preview
from campaign_pipeline.segments.session import Session, WrittenMeanwhile, open_session
from campaign_pipeline.segments.store import load_segments

MEMBERS = "segment_members"
TRIES = 5


@dataclass(frozen=True)
class SegmentQuestions:
    """Questions about the applied segments (`library`) and drafts of them, at one moment, on one state of the lake.

    Drafts stand for their namesakes. NotFound names the segments that there are.
    """

    session: Session
    library: Mapping[str, Segment]
    as_of: datetime

    def preview(self, name: str) -> Preview:
        return preview(self.session, self.segment(name), self.library, self.as_of)

    def preview_draft(self, segment: Segment) -> Preview:
        return preview(self.session, segment, self.library, self.as_of)

    def explain(self, name: str, contact: str) -> Explanation:
        """Why the contact, named by its id or external id, is in the segment; NotFound if the snapshot has it not."""
        return explain(self.session, self.segment(name), self.library, self.as_of, contact)

    def diff(self, name: str, drafts: Mapping[str, Segment]) -> SegmentDiff:
        """What applying `drafts` would change in segment `name`, which may be new."""
        segment = drafts.get(name) or self.segment(name)
        return diff(self.session, segment, self.library, self.as_of, changed=drafts)

    def segment(self, name: str) -> Segment:
        return _applied(self.library, name)


def _applied(library: Mapping[str, Segment], name: str) -> Segment:
    if name not in library:
        known = f"There are: {', '.join(library) or 'none'}. Load some with: campaigns apply DIR"
        raise NotFound(f"segment {name!r} does not exist", nearest(name, library) or known)
    return library[name]


def campaign_variants(connection: sa.Connection) -> dict[str, frozenset[str]]:
    """The variants of every campaign that was applied, by its name: what segments may ask for engagement with."""
    applied = load_campaigns(connection)
    return {name: frozenset(variant.name for variant in each.variants) for name, each in applied.items()}


@contextmanager
def segment_questions(
    installation: Installation, as_of: datetime, *, about: Sequence[str] = (), fresh: bool = True
) -> Generator[SegmentQuestions]:
    """Open a session for questions at `as_of`, on the contacts as they are now (`fresh`) or as last snapshotted.

    An event store is used if it is of the lake's present state: a new snapshot is another one. `about`: segments that
    must have been applied; a misspelt name is said before a snapshot is taken.
    """
    with reading(installation.engine) as connection:
        library, campaigns = load_segments(connection), campaign_variants(connection)
    for name in about:
        _applied(library, name)
    if fresh or not installation.lake.exists(CONTACTS):
        take_snapshot(installation)
    with open_session(installation.lake, campaigns=campaigns) as session:
        yield SegmentQuestions(session, library, as_of)


def pick_members(installation: Installation, run: Run) -> tuple[pl.DataFrame, Preview | None]:
    """(contact_id of those whom the run's segment picks, what each line of it keeps); once planned, they are final.

    Another run that takes its snapshot meanwhile is no reason to fail: the question is asked again. The preview of
    what is final is None.
    """
    lake = installation.lake
    with reading(installation.engine) as connection:
        if ledger.is_planned(connection, run.run_id) and lake.exists(MEMBERS, run.run_id):
            return lake.read(MEMBERS, run.run_id), None
        library, campaigns = load_segments(connection), campaign_variants(connection)
    if run.part:
        found, shown = reserved_for(lake, run.part), None
    else:
        found, shown = _ask(lake, campaigns, library[run.campaign.segment], library, run.as_of)
    with lake.staged(found, MEMBERS, run.run_id) as put:
        if not ledger.put_unless_planned(installation.engine, run.run_id, put):
            return lake.read(MEMBERS, run.run_id), None
    return found, shown


def reserved_for(lake: Lake, part: Part) -> pl.DataFrame:
    """contact_id of those whom the first run of the roll-out reserved for `part`, sorted."""
    reserved = pl.col("status") == AudienceStatus.RESERVED.value
    ids = lake.scan("audience", part.parent_run_id).filter(reserved).select("contact_id").collect()
    return ids.filter(within(part.parent_run_id, part.share, ids.get_column("contact_id"))).sort("contact_id")


def _ask(
    lake: Lake,
    campaigns: Mapping[str, frozenset[str]],
    segment: Segment,
    library: Mapping[str, Segment],
    as_of: datetime,
    tries: int = TRIES,
) -> tuple[pl.DataFrame, Preview]:
    try:
        with open_session(lake, campaigns=campaigns) as session:
            return members(session, segment, library, as_of), preview(session, segment, library, as_of)
    except WrittenMeanwhile:
        if tries == 1:
            raise
        return _ask(lake, campaigns, segment, library, as_of, tries - 1)


def read_drafts(path: Path) -> dict[str, Segment]:
    """The segments of a file, or of a folder of definitions, by name; InvalidDefinition names what is wrong."""
    if path.is_dir():
        return dict(read_folder(path).segments)
    if not path.exists():
        raise InvalidInput(f"{path} is not there", "Give a segment file, or a folder of definitions.")
    segment = read_segment_file(path)
    return {segment.segment: segment}


def line_by_line(shown: Preview) -> pl.DataFrame:
    """The preview's lines: line (indented by depth), matches, remains."""
    return pl.DataFrame(
        {
            "line": [" · " * line.depth + line.text for line in shown.lines],
            "matches": [line.matches for line in shown.lines],
            "remains": [line.remains for line in shown.lines],
        }
    )
