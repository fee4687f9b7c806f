"""Asking a rule of some contacts only: of the touched, in near real time."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.segments.catalogue import EVENTS, MESSAGES
from campaign_pipeline.segments.compiler import Tables
from campaign_pipeline.segments.definition import Segment, walk
from campaign_pipeline.segments.nodes.engaged import Engaged
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.nodes.measured import Measured
from campaign_pipeline.segments.nodes.rfm import Rfm
from campaign_pipeline.segments.references import check_references
from campaign_pipeline.segments.session import Session
from campaign_pipeline.segments.tree import LeafNode


def session_among(session: Session, who: pl.Series) -> Session | None:
    """The session as if there were only the contacts `who` (contact_id), and what they did; None if none is there.

    A rule that does not compare contacts with each other (`moves_others`) picks the same of them as among everybody,
    and reads no event of anybody else: many rules cost little more than one. Meant to be used once on a connection.
    """
    connection, tables = session.connection, session.tables
    connection.execute("CREATE SCHEMA among")
    connection.execute("CREATE TABLE among.people AS SELECT unnest($1) AS contact_id", [who.to_list()])
    metadata = sa.MetaData()
    contacts, events, messages = (
        table.to_metadata(metadata, schema="among") for table in (tables.contacts, tables.events, tables.messages)
    )
    key = events.c.contact_id.name  # a contact's number, in the event store
    for table, column, of in ((contacts, "contact_id", "people"), (events, key, contacts.name)):
        _copy(session, table.name, column, of)
    _copy(session, messages.name, "contact_id", contacts.name)
    if connection.sql(f'SELECT count(*) FROM among."{contacts.name}"').fetchall() == [(0,)]:
        return None
    features = replace(tables.features, contacts=contacts) if tables.features else None
    restricted = Tables(contacts, events, messages, features)
    return Session(session.lake, connection, session.catalogue, restricted, session.plain)


def _copy(session: Session, table: str, column: str, of: str) -> None:
    """The rows of `table` whose `column` is in `of`, under the same name in the schema `among`."""
    found = f'SELECT "{column}" FROM among."{of}"'
    session.connection.execute(f'CREATE TABLE among."{table}" AS SELECT * FROM "{table}" WHERE "{column}" IN ({found})')


def reads(segment: Segment, library: Mapping[str, Segment]) -> set[str]:
    """The assets by whose new rows contacts of `segment` are touched."""
    return {EVENTS, MESSAGES} if any(isinstance(leaf, Engaged) for leaf in _leaves(segment, library)) else {EVENTS}


def moves_others(segment: Segment, library: Mapping[str, Segment]) -> bool:
    """Whether a contact that changes can move others in or out, because they are compared with each other."""
    ranks = any(isinstance(leaf, Measured | Rfm) and _compares(leaf) for leaf in _leaves(segment, library))
    return ranks or any(each.limit for each in _closure(segment, library))


def _compares(leaf: Measured | Rfm) -> bool:
    return isinstance(leaf, Rfm) or leaf.percentile is not None


def _leaves(segment: Segment, library: Mapping[str, Segment]) -> Iterator[Leaf]:
    for each in _closure(segment, library):
        yield from (line.node.leaf for line in walk(each) if isinstance(line.node, LeafNode))


def _closure(segment: Segment, library: Mapping[str, Segment]) -> list[Segment]:
    return [library[name] for name in check_references(library, [segment.segment])]
