"""Who is in a segment: its members, and a preview that counts at each line of the tree.

Each function takes a session for many questions, or a lake for one.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime

import polars as pl

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import Catalogue
from campaign_pipeline.segments.compiler import compiler
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.preview import Preview, preview_in
from campaign_pipeline.segments.session import Session, open_lake, open_session

__all__ = ["members", "open_lake", "preview", "using"]


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


@contextmanager
def using(source: Lake | Session, catalogue: Catalogue | None = None) -> Generator[Session]:
    """The session that `source` is, or one on that lake."""
    if isinstance(source, Session):
        yield source
    else:
        with open_session(source, catalogue) as session:
            yield session
