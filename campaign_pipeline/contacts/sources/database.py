"""Rows of a database, read and never written: any that SQLAlchemy has a driver for.

The URL holds a password: it goes nowhere but to the driver, and what the driver says is shown without it.
"""

import hashlib
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, quote_plus

import orjson
import sqlalchemy as sa
from sqlalchemy import exc

from campaign_pipeline.contacts.sources.plain import TextColumns
from campaign_pipeline.contacts.sources.table import BLOCK, Table, checked_names, without_nul
from campaign_pipeline.core.database import CONNECT_SECONDS
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.progress import progress_of


@dataclass(frozen=True)
class DatabaseRows:
    """The rows of a `table` (`schema.table`) or of one `query` at `url`, numbered from 1 as they come."""

    url: str = field(repr=False)
    table: str | None = None
    query: str | None = field(default=None, repr=False)

    ordered = False

    def __post_init__(self) -> None:
        if bool(self.table) == bool(self.query):
            raise InvalidInput("a database gives the rows of a table or of a query", "Give one of --table and --query.")
        _ = self._parsed

    @property
    def name(self) -> str:
        """Where the rows are from: no user, no password, and no query, whose text may name people."""
        parsed = self._parsed
        place = "/".join(part for part in (parsed.host, parsed.database and Path(parsed.database).name) if part)
        return f"{parsed.get_backend_name()}:{place}:{self.table or 'query'}"

    def read(self) -> Table:
        return self._found[0]

    def content(self) -> str:
        """A digest of the rows as they are now."""
        return self._found[1]

    def settings(self) -> tuple[str, ...]:
        return ("database",)

    @cached_property
    def _parsed(self) -> sa.URL:
        try:
            return sa.make_url(self.url)
        except exc.ArgumentError:
            raise InvalidInput(
                "the source is not a database URL", "Example: postgresql+psycopg://user@host/database."
            ) from None

    @cached_property
    def _found(self) -> tuple[Table, str]:
        with self._errors_without_password(), self._connection() as connection:
            found = connection.exec_driver_sql(
                self.query or self._select(connection),
                execution_options={"yield_per": BLOCK, "no_parameters": True},
            )
            if not found.returns_rows:
                raise InvalidInput(f"{self.name} gives no rows", "Give one SELECT.")
            names = checked_names(self.name, list(found.keys()))
            return _read(names, found)

    def _select(self, connection: sa.Connection) -> str:
        schema, _, table = (self.table or "").rpartition(".")
        everything = sa.select(sa.text("*")).select_from(sa.table(table, schema=schema or None))
        return str(everything.compile(connection))

    @contextmanager
    def _connection(self) -> Generator[sa.Connection]:
        """One that cannot write where the database knows how to say so, and is rolled back in any case."""
        parsed = self._parsed
        backend = parsed.get_backend_name()
        if backend == "sqlite":
            path = f"file:{quote(parsed.database or '')}?mode=ro"
            engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(path, uri=True))
        elif backend == "postgresql":
            engine = sa.create_engine(parsed, connect_args={"connect_timeout": CONNECT_SECONDS})
        else:
            engine = sa.create_engine(parsed)
        readonly = {"postgresql_readonly": True} if backend == "postgresql" else {}
        try:
            with engine.connect() as connection:
                yield connection.execution_options(**readonly)
        finally:
            engine.dispose()

    @contextmanager
    def _errors_without_password(self) -> Generator[None]:
        try:
            yield
        except exc.NoSuchModuleError as error:
            raise InvalidInput(f"{self.name}: {error}", "Check the URL's beginning.") from None
        except ModuleNotFoundError as error:
            raise InvalidInput(f"{self.name}: its driver {error.name!r} is not installed", "Install it.") from None
        except exc.DBAPIError as error:
            raise InvalidInput(f"{self.name} cannot be read: {self._said(error)}", "Check URL and query.") from None

    def _said(self, error: exc.DBAPIError) -> str:
        """What the driver says, but of a value that does not fit nothing: it would be quoted."""
        kind = type(error.orig).__name__
        if isinstance(error, exc.DataError | exc.IntegrityError):
            return kind
        lines = str(error.orig).strip().splitlines()
        told = lines[0] if lines else ""
        if told.startswith("Could not decode"):  # SQLite quotes the text
            return f"{kind}: a column holds text that is not UTF-8"
        for value in (self._parsed.password, *self._parsed.query.values()):
            for form in {str(value or ""), quote(str(value or "")), quote_plus(str(value or ""))} - {""}:
                told = told.replace(form, "***")
        return f"{kind}: {told}"


def _read(names: list[str], found: sa.CursorResult[tuple[object, ...]]) -> tuple[Table, str]:
    text = TextColumns()
    content = hashlib.sha256(orjson.dumps(names))
    count = 0
    told = progress_of("reading")
    for rows in found.partitions():
        columns = zip(*rows, strict=True)
        text.add(range(count + 1, count + len(rows) + 1), dict(zip(names, columns, strict=True)))
        block = text.blocks[-1]
        content.update(orjson.dumps([block[name].to_list() for name in names]))
        count += len(rows)
        told(count, count)
    if not text.blocks:
        text.add([], {name: [] for name in names})
    return without_nul(Table(text.rows(), types=text.types())), content.hexdigest()
