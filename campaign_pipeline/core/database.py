"""The operational database: engines for SQLite and PostgreSQL, transactions, bulk inserts, migrations."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, OperationalError

from campaign_pipeline.core.errors import InvalidInput, Refused, Unavailable
from campaign_pipeline.core.paths import SQL_DIR

CONNECT_SECONDS = 10
"""How long a database server may take to answer."""

INSERT_CHUNK = 5_000
"""Rows in one INSERT: large enough to be fast, small enough for every driver's parameter limit."""


def open_database(url: str) -> sa.Engine:
    """An engine for `url`: `sqlite:///path` (in WAL mode) or `postgresql+psycopg://...`."""
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise InvalidInput(
            "CAMPAIGN_DATABASE_URL is not a database URL",
            "Example: sqlite:///data/campaigns.db",
        ) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        timeout = {"connect_timeout": CONNECT_SECONDS}
        return sa.create_engine(parsed, pool_pre_ping=True, connect_args=timeout, hide_parameters=True)
    if backend != "sqlite":
        raise InvalidInput(
            f"CAMPAIGN_DATABASE_URL: {backend} is not supported",
            "Use sqlite:/// or postgresql+psycopg://.",
        )
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, hide_parameters=True)  # they would stand in every traceback: addresses, names
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's own is late and deferred
    for pragma in (
        "busy_timeout=30000",  # first: those that follow may have to wait for others, too
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes its lock at once: upgrading a read snapshot fails when another has written meanwhile.
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


@contextmanager
def writing(engine: sa.Engine) -> Generator[sa.Connection]:
    """One write transaction: committed, durable, when the block ends; rolled back when it raises.

    Unavailable when the database goes away or is full: then nobody knows whether it was committed.
    """
    with (
        _in_words(),
        engine.connect().execution_options(writing=True) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def reading(engine: sa.Engine) -> Generator[sa.Connection]:
    """One consistent snapshot to read from. Unavailable when the database goes away."""
    with _in_words(), engine.connect() as connection:
        yield connection


@contextmanager
def _in_words() -> Generator[None]:
    try:
        yield
    except OperationalError as error:
        said = str(error.orig).partition("\n")[0]
        raise Unavailable(
            f"the database cannot be used: {said}",
            "What was committed is kept. See that it runs and that its disk is not full, then do the same again.",
        ) from error


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Append `rows`, passing over those whose key is there already; how many were new."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing().returning(*table.primary_key.columns)
    new = 0
    for start in range(0, len(rows), INSERT_CHUNK):
        new += len(connection.execute(statement, rows[start : start + INSERT_CHUNK]).all())
    return new


def migrate(engine: sa.Engine, revision: str = "head") -> None:
    """Bring the schema to `revision`, in one transaction a revision."""
    from alembic import command

    with engine.connect() as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def load_seeds(engine: sa.Engine) -> None:
    """Load sql/seeds (test_segments, then test_campaigns); what is there already stays as it is."""
    with writing(engine) as connection:
        for name in ("test_segments", "test_campaigns"):
            script = (SQL_DIR / "seeds" / f"{name}.sql").read_text()
            for statement in script.split(";\n"):
                if statement.strip():
                    connection.exec_driver_sql(statement)


def current_revision(engine: sa.Engine) -> str | None:
    from alembic.migration import MigrationContext

    with reading(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    assert head is not None, "sql/migrations has no revision"
    return head


def require_schema(engine: sa.Engine) -> None:
    """Refused unless the schema is at the newest revision."""
    found, wanted = current_revision(engine), head_revision()
    if found != wanted:
        raise Refused(
            f"the database is at revision {found or 'none'}, not {wanted}",
            "Run: campaigns init",
        )


def _alembic_config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SQL_DIR / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
