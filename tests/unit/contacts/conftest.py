"""What the tests of this folder share."""

import pytest
import sqlalchemy as sa


@pytest.fixture(params=["engine", pytest.param("postgres_engine", id="postgres")])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    """A migrated, empty database: SQLite, then PostgreSQL."""
    return request.getfixturevalue(request.param)
