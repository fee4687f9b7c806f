"""What a leaf of the tree needs to become SQL."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from campaign_pipeline.segments.catalogue import Catalogue

if TYPE_CHECKING:
    from campaign_pipeline.segments.features import Features
    from campaign_pipeline.segments.nodes.metric import Metric


@dataclass(frozen=True)
class Scope:
    """The tables, the names that are allowed in them, and the one moment at which everything is looked at.

    `contacts`: contact_id and a column a field; lists and tags, if the snapshot has them. `events`: contact_id, event,
    occurred_at, properties (JSON). `messages`: the columns of compiler.MESSAGES. `metrics`: what the leaf's segment
    declares, by name. `once(kind, text, query)` is the CTE of a query that several leaves share, worked out once a
    statement; kind and text must say all that the query depends on beside the scope. `kept()`: the condition of all
    that comes before the limit of the leaf's segment. `features`: what answers some questions about events at once, if
    there is an event store.
    """

    segment: str

    catalogue: Catalogue
    contacts: sa.Table
    events: sa.Table
    messages: sa.Table
    as_of: datetime
    zone: ZoneInfo
    metrics: "Mapping[str, Metric]"
    once: Callable[[str, str, sa.SelectBase], sa.CTE]
    kept: Callable[[], sa.ColumnElement[bool]]
    features: "Features | None" = None

    @property
    def contact_id(self) -> sa.Column[str]:
        return self.contacts.c.contact_id

    @property
    def actor(self) -> sa.Column[Any]:
        """The contact as `events.c.contact_id` has it: its id, or in an event store its number."""
        return self.contacts.c[self.events.c.contact_id.name]
