"""From the tree to one SELECT: SQLAlchemy Core expressions, which DuckDB and PostgreSQL both run.

Meaning: two-valued logic (a leaf that is NULL is false, so `not` is an exact complement), one as_of, names from the
catalogue only, values as bound parameters only, references inlined. What several leaves need, and what compares
contacts with each other, is a CTE over all contacts, whichever of them are asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from campaign_pipeline.core.clock import as_utc
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import digest
from campaign_pipeline.segments.catalogue import CONTACTS, EVENTS, GROUPS, MESSAGES, Catalogue, Kind
from campaign_pipeline.segments.definition import Segment, join, root_path
from campaign_pipeline.segments.features import Features
from campaign_pipeline.segments.nodes.engaged import What
from campaign_pipeline.segments.references import check_references
from campaign_pipeline.segments.scope import Scope
from campaign_pipeline.segments.tree import (
    AllNode,
    AnyNode,
    LeafNode,
    LimitNode,
    Node,
    NotNode,
    SegmentNode,
    WholeNode,
    children,
)

_TYPES: dict[Kind, sa.types.TypeEngine[Any]] = {
    Kind.TEXT: sa.Text(),
    Kind.INTEGER: sa.BigInteger(),
    Kind.NUMBER: sa.Double(),
    Kind.BOOLEAN: sa.Boolean(),
    Kind.MOMENT: sa.DateTime(timezone=True),
}


_TIME = sa.DateTime(timezone=True)
MESSAGE_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    **dict.fromkeys(("run_id", "campaign", "channel", "contact_id", "variant"), sa.Text()),
    **dict.fromkeys((what.column for what in What), _TIME),
}
"""Of message_facts, which has more: one row a contact of a run, null what did not happen."""


def messages_table(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(MESSAGES, metadata, *(sa.Column(name, kind) for name, kind in MESSAGE_COLUMNS.items()))


@dataclass(frozen=True)
class Tables:
    """`contacts`: contact_id and a column a field; lists and tags, if the snapshot has them.

    `events`: contact_id, event, occurred_at, properties (JSON). `messages`: MESSAGE_COLUMNS.
    """

    contacts: sa.Table
    events: sa.Table
    messages: sa.Table = field(default_factory=lambda: messages_table(sa.MetaData()))
    features: Features | None = None


def lake_tables(catalogue: Catalogue) -> Tables:
    """The tables as they are in the lake."""
    fields = [sa.Column(name, _TYPES[kind]) for name, kind in catalogue.fields.items() if name != "contact_id"]
    fields += [sa.Column(GROUPS[kind], sa.ARRAY(sa.Text())) for kind in catalogue.groups]
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
    shared: dict[str, sa.CTE] = field(default_factory=dict[str, sa.CTE], repr=False, compare=False)

    def members(self, segment: Segment) -> sa.Select[str]:
        """`SELECT contact_id`, sorted, of the contacts that match. InvalidInput names segment, path and problem."""
        contact_id: sa.Column[str] = self.tables.contacts.c.contact_id
        return sa.select(contact_id).where(self.whole(segment)).order_by(contact_id)

    def whole(self, segment: Segment) -> sa.ColumnElement[bool]:
        """All that `segment` says, exclusions, sample and limit included."""
        return self.condition(segment, root_path(segment), segment.root)

    def condition(self, segment: Segment, path: str, node: Node) -> sa.ColumnElement[bool]:
        """`node`, at `path` of `segment`, as a condition on a contact: true or false, never NULL."""
        match node:
            case WholeNode() if isinstance(node.all[-1], LimitNode):
                return self.condition(segment, "limit", node.all[-1])  # which contains all that is before it
            case AllNode() | AnyNode() | NotNode():
                inner = [self.condition(segment, join(path, at), child) for at, child in children(node)]
                return combine(node, inner)
            case SegmentNode():
                return self.whole(self.library[node.segment])
            case _:
                return sa.func.coalesce(self.leaf(segment, path, node), sa.false())

    def scope(self, segment: Segment) -> Scope:
        """What the leaves of `segment` need."""

        def once(kind: str, text: str, query: sa.SelectBase) -> sa.CTE:
            name = f"{kind}_{digest(kind, segment.timezone, text)}"
            return self.shared.setdefault(name, query.cte(name).prefix_with("MATERIALIZED"))

        def kept() -> sa.ColumnElement[bool]:
            unlimited = segment.model_copy(update={"limit": None})
            return self.whole(unlimited)

        tables, zone = self.tables, ZoneInfo(segment.timezone)
        return Scope(
            segment=segment.segment,
            catalogue=self.catalogue,
            contacts=tables.contacts,
            events=tables.events,
            messages=tables.messages,
            as_of=as_utc(self.as_of),
            zone=zone,
            metrics=segment.metrics,
            once=once,
            kept=kept,
            features=tables.features,
        )

    def leaf(self, segment: Segment, path: str, node: LeafNode) -> sa.ColumnElement[bool]:
        """The leaf at `path` of `segment` as a condition on a contact, in which NULL counts as false."""
        scope = self.scope(segment)
        where = f"segment {segment.segment}: {path}"
        try:
            return node.leaf.condition(scope)
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
