"""One installation of the product, opened: its settings, database, lake and clock."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa

from campaign_pipeline.contacts.consent import GrantedIds
from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.database import migrate, open_database, require_schema
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings


@dataclass(frozen=True)
class Installation:
    settings: Settings

    @cached_property
    def engine(self) -> sa.Engine:
        return open_database(self.settings.sqlalchemy_url)

    @cached_property
    def granted_ids(self) -> GrantedIds:
        """Who consented, kept between the stages of a run."""
        return GrantedIds()

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_dir)

    @property
    def clock(self) -> Clock:
        return self.settings.clock

    @property
    def reports_dir(self) -> Path:
        return self.settings.data_dir / "reports"

    def require_schema(self) -> None:
        """Refused, with the command that helps, unless the database is there and up to date."""
        require_schema(self.engine)

    def initialise(self) -> None:
        """Make the folders and bring the database up to date; running it again changes nothing."""
        for folder in (self.settings.lake_dir, self.settings.inbox_dir, self.reports_dir):
            folder.mkdir(parents=True, exist_ok=True)
        migrate(self.engine)
