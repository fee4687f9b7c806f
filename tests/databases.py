"""Databases of the newest schema and whole installations: migrated once a process, then copied for each test."""

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from campaign_pipeline.core.database import migrate, open_database
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.operations.installation import Installation
from tests.postgres import create_database

MIGRATED = "migrated"
"""The PostgreSQL database that others are copied from."""


@lru_cache(maxsize=1)
def _migrated_file() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "campaigns.db"
        engine = open_database(f"sqlite:///{file}")
        migrate(engine)
        engine.dispose()  # the last connection puts everything into the one file
        return file.read_bytes()


def sqlite_database(file: Path) -> sa.Engine:
    """A migrated SQLite database in `file`; one that is there already stays as it is."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_migrated_file())
    return open_database(f"sqlite:///{file}")


def make_migrated(server: Any) -> None:
    """MIGRATED, once for a PostgreSQL server."""
    engine = open_database(create_database(server, MIGRATED))
    migrate(engine)
    engine.dispose()


def initialised(settings: Settings) -> Installation:
    """An installation as `campaigns init` leaves it."""
    installation = Installation(settings)
    if not settings.database_url:
        sqlite_database(settings.data_dir / "campaigns.db").dispose()
    installation.initialise()
    return installation
