"""The schema: the same revisions build exactly our tables on both databases."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from campaign_pipeline.core.database import current_revision, head_revision, migrate, require_schema
from campaign_pipeline.core.paths import SQL_DIR
from campaign_pipeline.core.tables import metadata


def _differences(engine: sa.Engine) -> list[object]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


def test_the_revisions_are_the_four_of_the_plan() -> None:
    revisions = [each.revision for each in ScriptDirectory(str(SQL_DIR / "migrations")).walk_revisions()]
    assert revisions[::-1][:4] == [
        "0001_campaign_system_base",
        "0002_campaign_messages",
        "0003_campaign_analytics",
        "0004_campaign_segments",
    ]


def test_migrating_sqlite_gives_our_tables(engine: sa.Engine) -> None:
    assert _differences(engine) == []
    assert current_revision(engine) == head_revision()
    require_schema(engine)


def test_migrating_postgresql_gives_our_tables(postgres_engine: sa.Engine) -> None:
    assert _differences(postgres_engine) == []
    assert current_revision(postgres_engine) == head_revision()


def test_migrating_again_changes_nothing(engine: sa.Engine) -> None:
    migrate(engine)
    assert _differences(engine) == []
