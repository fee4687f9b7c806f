"""What the tests of this folder share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import migrate, open_database


@pytest.fixture(params=["engine", pytest.param("postgres_engine", id="postgres")])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    """A migrated, empty database: SQLite, then PostgreSQL."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def taken_back(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], AbstractContextManager[sa.Connection]]]:
    """`with taken_back() as connection:`, whose changes are gone after the block: for the examples of hypothesis."""
    if request.param == "sqlite":
        engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('taken_back')}/campaigns.db")
    else:
        engine = open_database(request.getfixturevalue("postgres_url"))
        with engine.begin() as fresh:
            fresh.execute(sa.text("DROP SCHEMA public CASCADE"))
            fresh.execute(sa.text("CREATE SCHEMA public"))
    migrate(engine)

    @contextmanager
    def transaction() -> Iterator[sa.Connection]:
        with engine.connect() as connection:
            yield connection
            connection.rollback()

    yield transaction
    engine.dispose()
