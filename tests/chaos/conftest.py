"""Worlds for one test each, on SQLite and on the session's PostgreSQL server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.world import World, world
from tests.postgres import create_database

MakeWorld = Callable[..., World]


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a new database: "sqlite" or "postgresql", by indirect parametrisation; SQLite without one."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return ""
    return create_database(request.getfixturevalue("postgres"), tmp_path.name)


@pytest.fixture
def make_world(database_url: str, tmp_path: Path) -> Iterator[MakeWorld]:
    """`make_world(faults=..., **settings)`; everything of it ends with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(world(tmp_path, database_url, **options))


def on(*databases: str) -> Any:
    """Run the test on these databases."""
    return pytest.mark.parametrize("database_url", databases, indirect=True)
