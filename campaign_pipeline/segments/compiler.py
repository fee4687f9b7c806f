"""From the tree to one SELECT: SQLAlchemy Core expressions, which DuckDB and PostgreSQL both run.

Meaning: two-valued logic (a leaf that is NULL is false, so `not` is an exact complement), one as_of, names from the
catalogue only, values as bound parameters only, references inlined.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from campaign_pipeline.core.clock import as_utc
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.segments.catalogue import CONTACTS, EVENTS, Catalogue, Kind
from campaign_pipeline.segments.definition import (
    AllNode,
    AnyNode,
    LeafNode,
    Node,
    NotNode,
    Segment,
    SegmentNode,
    children,
)
from campaign_pipeline.segments.references import check_references
from campaign_pipeline.segments.scope import Scope

_TYPES: dict[Kind, sa.types.TypeEngine[Any]] = {
    Kind.TEXT: sa.Text(),
    Kind.INTEGER: sa.BigInteger(),
    Kind.NUMBER: sa.Double(),
    Kind.BOOLEAN: sa.Boolean(),
    Kind.MOMENT: sa.DateTime(timezone=True),
}


@dataclass(frozen=True)
class Tables:
    """`contacts`: contact_id and a column a field; `events`: contact_id, event, occurred_at, properties (JSON)."""

    contacts: sa.Table
    events: sa.Table


def lake_tables(catalogue: Catalogue) -> Tables:
    """The tables as they are in the lake."""
    fields = [sa.Column(name, _TYPES[kind]) for name, kind in catalogue.fields.items() if name != "contact_id"]
    contacts = sa.Table(CONTACTS, sa.MetaData(), sa.Column("contact_id", sa.Text()), *fields)
    events = sa.Table(
        EVENTS,
        sa.MetaData(),
        sa.Column("contact_id", sa.Text()),
        sa.Column("event", sa.Text()),
        sa.Column("occurred_at", sa.DateTime(timezone=True)),
        sa.Column("properties", sa.Text()),
    )
    return Tables(contacts, events)


@dataclass(frozen=True)
class Compiler:
    """Compiles the segments of `library` against one catalogue, pair of tables and moment."""

    library: Mapping[str, Segment]
    catalogue: Catalogue
    tables: Tables
    as_of: datetime

    def members(self, segment: Segment) -> sa.Select[str]:
        """`SELECT contact_id`, sorted, of the contacts that match. InvalidInput names segment, path and problem."""
        contact_id: sa.Column[str] = self.tables.contacts.c.contact_id
        return sa.select(contact_id).where(self.condition(segment, "where", segment.where)).order_by(contact_id)

    def condition(self, segment: Segment, path: str, node: Node) -> sa.ColumnElement[bool]:
        """`node`, at `path` of `segment`, as a condition on a contact: true or false, never NULL."""
        match node:
            case AllNode() | AnyNode() | NotNode():
                inner = [self.condition(segment, f"{path}.{at}", child) for at, child in children(node)]
                return combine(node, inner)
            case SegmentNode():
                target = self.library[node.segment]
                return self.condition(target, "where", target.where)
            case _:
                return self._leaf(segment, path, node)

    def _leaf(self, segment: Segment, path: str, node: LeafNode) -> sa.ColumnElement[bool]:
        zone = ZoneInfo(segment.timezone)
        scope = Scope(self.catalogue, self.tables.contacts, self.tables.events, as_utc(self.as_of), zone)
        where = f"segment {segment.segment}: {path}"
        try:
            return sa.func.coalesce(node.leaf.condition(scope), sa.false())
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error.message}", error.hint) from None
        except ValueError as error:
            raise InvalidInput(f"{where}: {node.leaf.says()}: {error}") from None


def combine(node: AllNode | AnyNode | NotNode, inner: list[sa.ColumnElement[bool]]) -> sa.ColumnElement[bool]:
    """The conditions of a group's children as the group's own."""
    match node:
        case AllNode():
            return sa.and_(*inner)
        case AnyNode():
            return sa.or_(*inner)
        case NotNode():
            return sa.not_(inner[0])


def compiler(
    segment: Segment, library: Mapping[str, Segment], catalogue: Catalogue, tables: Tables, as_of: datetime
) -> Compiler:
    """A compiler for `segment`, which may be a draft: it stands for its namesake in the library.

    InvalidInput if it refers to a segment that is missing, or to itself.
    """
    known = {**library, segment.segment: segment}
    check_references(known, [segment.segment])
    return Compiler(known, catalogue, tables, as_of)
