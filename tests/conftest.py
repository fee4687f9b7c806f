"""Fixtures that every suite shares: a fresh installation in a temporary folder, and the real data."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import open_database
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from tests.databases import MIGRATED, make_migrated, sqlite_database
from tests.postgres import create_database, drop_database, only_processes_die, postgres_server

hypothesis.settings.register_profile("campaigns", deadline=None)  # no timing in tests: the machine may be busy
hypothesis.settings.load_profile("campaigns")

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
    engine = sqlite_database(settings.data_dir / "campaigns.db")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A real PostgreSQL server: one for the whole session."""
    with postgres_server() as server:
        only_processes_die(server)
        make_migrated(server)
        yield server


@pytest.fixture(scope="session")
def new_postgres(postgres: Any) -> Callable[[], AbstractContextManager[str]]:
    """`with new_postgres() as url:` a migrated, empty PostgreSQL database, gone after the block."""
    numbers = count()

    @contextmanager
    def new() -> Iterator[str]:
        name = f"copy_{next(numbers)}"
        yield create_database(postgres, name, MIGRATED)
        drop_database(postgres, name)

    return new


@pytest.fixture
def postgres_url(new_postgres: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """Of a migrated, empty PostgreSQL database: one for the test."""
    with new_postgres() as url:
        yield url


@pytest.fixture
def postgres_engine(postgres_url: str) -> Iterator[sa.Engine]:
    """The same database, opened."""
    engine = open_database(postgres_url)
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
