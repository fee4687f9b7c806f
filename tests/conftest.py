"""Fixtures that every suite shares: a fresh installation in a temporary folder, and the real data."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import migrate, open_database
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from tests.postgres import postgres_server, url_of

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """A developer's environment must not change what the tests see."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CAMPAIGN_")]:
            patch.delenv(name)
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an installation of its own under tmp_path; no `.env` file is read."""
    return Settings(_env_file=None, data_dir=tmp_path / "data")


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    """A migrated SQLite database."""
    engine = open_database(settings.sqlalchemy_url)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A real PostgreSQL server: one for the whole session."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: Any) -> str:
    return url_of(postgres)


@pytest.fixture
def postgres_engine(postgres_url: str) -> Iterator[sa.Engine]:
    """A migrated, empty PostgreSQL database."""
    engine = open_database(postgres_url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings.lake_dir)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data is not at {SHARED_DATA}")
    return SHARED_DATA
