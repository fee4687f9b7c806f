"""Who is in a segment: its members, a preview that counts at each line of the tree, why a contact is in or not, and
what another definition would change.

Each function takes a session for many questions, or a lake for one.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType

import polars as pl

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import Catalogue
from campaign_pipeline.segments.compiler import Compiler, compiler
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.diff import SegmentDiff, diff_in
from campaign_pipeline.segments.explain import Explanation, explain_in
from campaign_pipeline.segments.preview import Preview, preview_in
from campaign_pipeline.segments.session import Session, open_lake, open_session

__all__ = ["diff", "explain", "members", "open_lake", "preview", "using"]


def members(
    source: Lake | Session,
    segment: Segment,
    library: Mapping[str, Segment],
    as_of: datetime,
    catalogue: Catalogue | None = None,
) -> pl.DataFrame:
    """The contacts in `segment` at `as_of`: contact_id (String), sorted.

    `library`: the segments that it may refer to. `catalogue`: if it was read before. InvalidInput names what in the
    segment does not fit the catalogue; NotFound if there are no contacts.
    """
    with using(source, catalogue) as session:
        compiled = compiler(segment, library, session.catalogue, session.tables, as_of)
        return session.run(compiled.members(segment))


def preview(
    source: Lake | Session,
    segment: Segment,
    library: Mapping[str, Segment],
    as_of: datetime,
    catalogue: Catalogue | None = None,
) -> Preview:
    """How many are in `segment` at `as_of`, and how each line of its tree comes to that; arguments as for members."""
    with using(source, catalogue) as session:
        return preview_in(session, segment, compiler(segment, library, session.catalogue, session.tables, as_of))


def explain(
    source: Lake | Session, segment: Segment, library: Mapping[str, Segment], as_of: datetime, contact: str
) -> Explanation:
    """Why the contact with this id, or external id, is in `segment` at `as_of` or not; arguments as for members.

    NotFound if the contact snapshot has no such contact.
    """
    with using(source) as session:
        compiled = compiler(segment, library, session.catalogue, session.tables, as_of)
        return explain_in(session, segment, compiled, contact)


def diff(
    source: Lake | Session,
    after: Segment,
    library: Mapping[str, Segment],
    as_of: datetime,
    *,
    changed: Mapping[str, Segment] = MappingProxyType({}),
) -> SegmentDiff:
    """What `after` in place of its namesake in `library` changes at `as_of`.

    `changed`: definitions that other segments would have then, too.
    """
    with using(source) as session:

        def compiled(segment: Segment, known: Mapping[str, Segment]) -> tuple[Segment, Compiler]:
            return segment, compiler(segment, known, session.catalogue, session.tables, as_of)

        before = library.get(after.segment)
        return diff_in(session, compiled(before, library) if before else None, compiled(after, {**library, **changed}))


@contextmanager
def using(source: Lake | Session, catalogue: Catalogue | None = None) -> Generator[Session]:
    """The session that `source` is, or one on that lake."""
    if isinstance(source, Session):
        yield source
    else:
        with open_session(source, catalogue) as session:
            yield session
