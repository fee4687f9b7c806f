"""What a leaf of the tree needs to become SQL."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from campaign_pipeline.segments.catalogue import Catalogue


@dataclass(frozen=True)
class Scope:
    """The tables, the names that are allowed in them, and the one moment at which everything is looked at.

    `contacts`: contact_id and a column a field. `events`: contact_id, event, occurred_at, properties (JSON).
    """

    catalogue: Catalogue
    contacts: sa.Table
    events: sa.Table
    as_of: datetime
    zone: ZoneInfo

    @property
    def contact_id(self) -> sa.Column[str]:
        return self.contacts.c.contact_id
