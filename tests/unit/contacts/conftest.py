"""What the tests of this folder share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import open_database
from tests.databases import sqlite_database


@pytest.fixture(params=["engine", pytest.param("postgres_engine", id="postgres")])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    """A migrated, empty database: SQLite, then PostgreSQL."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def module_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A migrated database for all tests of a module: SQLite, then PostgreSQL."""
    if request.param == "sqlite":
        engine = sqlite_database(tmp_path_factory.mktemp("module") / "campaigns.db")
        yield engine
        engine.dispose()
        return
    with request.getfixturevalue("new_postgres")() as url:
        engine = open_database(url)
        yield engine
        engine.dispose()


@pytest.fixture(scope="module")
def taken_back(module_database: sa.Engine) -> Callable[[], AbstractContextManager[sa.Connection]]:
    """`with taken_back() as connection:`, whose changes are gone after the block: for the examples of hypothesis."""

    @contextmanager
    def transaction() -> Iterator[sa.Connection]:
        with module_database.connect() as connection:
            yield connection
            connection.rollback()

    return transaction
