"""One locked-down connection on the lake, for many questions: previews while somebody types, explanations, members."""

from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import visitors

from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments import feature_rows
from campaign_pipeline.segments.bitmaps import Bitmap, bitmap
from campaign_pipeline.segments.catalogue import (
    CONTACTS,
    EVENTS,
    MESSAGES,
    Catalogue,
    Variants,
    glob_literal,
    read_catalogue,
)
from campaign_pipeline.segments.compiler import Tables, lake_tables
from campaign_pipeline.segments.dialect import DuckDB, duckdb_sql
from campaign_pipeline.segments.event_store import State, current_store, lake_state, read_seen_properties
from campaign_pipeline.segments.features import NUMBER, Features, columns

MEMORY = "1500MB"
"""What a connection may use; beyond it, it writes to a temporary folder."""

KEPT_BYTES = 128 * 2**20
"""Answers that a session keeps: 100 conditions on 10 million contacts."""

STORE = "store"


class Session:
    """What a question needs. `tables.contacts` have their number (features.NUMBER) beside their id.

    Contacts and events are those of the moment at which the session was opened. `plain`: the files that are read, if
    there is no event store; these must stay as they were. A bitmap has a bit for each row of the contacts, in order.
    """

    def __init__(
        self,
        lake: Lake,
        connection: duckdb.DuckDBPyConnection,
        catalogue: Catalogue,
        tables: Tables,
        plain: State | None,
    ) -> None:
        self.lake, self.connection, self.catalogue, self.tables, self.plain = lake, connection, catalogue, tables, plain
        number: sa.Column[int] = tables.contacts.c[NUMBER]
        self.total = self._one(sa.func.count())
        if not self.total:
            raise NotFound("the contact snapshot has no contacts", "Import some with: campaigns contacts import FILE")
        self.everyone = bitmap(np.ones(self.total, dtype=np.bool_))
        self._numbers = (
            None
            if self._one(sa.func.max(number)) == self.total - 1
            else self.run(sa.select(number)).to_series().to_numpy()
        )
        """The number of each row, ascending, unless it is the row's own."""
        self._answers: OrderedDict[str, Bitmap] = OrderedDict()

    @property
    def nobody(self) -> Bitmap:
        return self.everyone ^ self.everyone

    @property
    def has_store(self) -> bool:
        return self.plain is None

    def run(self, query: sa.Select[Any]) -> pl.DataFrame:
        text, parameters = duckdb_sql(query)
        return self.connection.sql(text, params=parameters).pl()

    def answer(self, condition: sa.ColumnElement[bool]) -> Bitmap:
        """The contacts for which `condition`, on `tables.contacts`, is true. Asked again, it is known.

        Refused if there is no event store and the lake's files are others than when the session was opened.
        """
        contacts = self.tables.contacts
        by_row = not any(isinstance(part, sa.SelectBase) for part in visitors.iterate(condition))
        # Without a join rows come in the table's order; with one, those that match are told by their numbers.
        found = sa.select(condition.label(NUMBER)).select_from(contacts)
        text, parameters = duckdb_sql(found if by_row else sa.select(contacts.c[NUMBER]).where(condition))
        key = f"{text} {parameters!r}"
        if key not in self._answers:
            values = self.connection.sql(text, params=parameters).fetchnumpy()[NUMBER]
            self._require_unchanged()
            flags = np.ma.filled(values, False) if by_row else self._flags(np.asarray(values))
            self._answers[key] = bitmap(flags)
            while len(self._answers) * self.total // 8 > KEPT_BYTES and len(self._answers) > 1:
                self._answers.popitem(last=False)
        self._answers.move_to_end(key)
        return self._answers[key]

    def forget(self) -> None:
        """Ask anew from now on."""
        self._answers.clear()

    def row(self, contact: str) -> int:
        """The row of the contact with this id, or this external id; NotFound if the snapshot has none."""
        contacts = self.tables.contacts.c
        names = [contacts[name] for name in ("contact_id", "external_id") if name in contacts]
        for name in names:
            found = self.run(sa.select(contacts[NUMBER]).where(name == contact))
            if found.height:
                return int(self._rows(found.to_series().to_numpy())[0])
        raise NotFound(
            f"contact {contact!r} is not in the contact snapshot",
            "Give a contact id or an external id. New contacts are in the next snapshot.",
        )

    def is_row(self, row: int) -> sa.ColumnElement[bool]:
        """The condition of a contact being in this row."""
        return self.tables.contacts.c[NUMBER] == self._number(row)

    def contact_ids(self, rows: Sequence[int]) -> list[str]:
        """The ids of the contacts in these rows, sorted."""
        contacts = self.tables.contacts.c
        whose = contacts[NUMBER].in_([self._number(row) for row in rows])
        query = sa.select(contacts.contact_id).where(whose).order_by(contacts.contact_id)
        return self.run(query)["contact_id"].to_list() if rows else []

    def _one(self, value: sa.ColumnElement[int]) -> int:
        return self.run(sa.select(value).select_from(self.tables.contacts)).item()

    def _number(self, row: int) -> int:
        return row if self._numbers is None else int(self._numbers[row])

    def _rows(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return numbers if self._numbers is None else np.searchsorted(self._numbers, numbers)

    def _flags(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        flags = np.zeros(self.total, dtype=np.bool_)
        flags[self._rows(numbers)] = True
        return flags

    def _require_unchanged(self) -> None:
        if self.plain is not None and lake_state(self.lake) != self.plain:
            raise WrittenMeanwhile("contacts or events were written while they were read", "Ask again.")


class WrittenMeanwhile(Refused):
    """Another process wrote what a session reads: in a new session the same question is answered."""


@contextmanager
def open_session(
    lake: Lake,
    catalogue: Catalogue | None = None,
    *,
    use_store: bool = True,
    campaigns: Variants = MappingProxyType({}),
) -> Generator[Session]:
    """A session on the event store, if it is of the lake's present state, else on the plain files (slower).

    It sees the contact snapshot, behaviour and message facts, and nothing else. `catalogue`: if it was read before.
    `campaigns`: those that are defined, which segments may name before they have any message. NotFound if there are
    no contacts.
    """
    with _connection() as connection:
        plain = lake_state(lake) if lake.exists(CONTACTS) else None
        store = use_store and _attach(connection, lake)
        if catalogue is None:
            seen = read_seen_properties(connection, STORE) if store else None
            catalogue = read_catalogue(lake, campaigns, seen)
        tables = lake_tables(catalogue)
        if store:
            tables = _store_tables(tables, connection)
            plain = None
        else:
            contacts = sa.Table(CONTACTS, sa.MetaData(), sa.Column(NUMBER, sa.Integer()), *_copies(tables.contacts))
            tables = replace(tables, contacts=contacts)
        _lock(connection, _views(connection, lake, tables, store=store))
        yield Session(lake, connection, catalogue, tables, plain)


@contextmanager
def open_lake(lake: Lake, tables: Tables) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection that sees the contact snapshot, the behaviour and the message facts as `tables`, and nothing else.

    No other file, no network, no extension, no change of settings. NotFound if there are no contacts.
    """
    with _connection() as connection:
        _lock(connection, _views(connection, lake, tables, store=False))
        if connection.sql(f'SELECT count(*) FROM "{CONTACTS}"').fetchall() == [(0,)]:
            raise NotFound("the contact snapshot has no contacts", "Import some with: campaigns contacts import FILE")
        yield connection


@contextmanager
def _connection() -> Generator[duckdb.DuckDBPyConnection]:
    with TemporaryDirectory(prefix="campaign-segments-") as spill, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute(f"SET temp_directory = {_quote(spill)}")
        yield connection


def _attach(connection: duckdb.DuckDBPyConnection, lake: Lake) -> bool:
    path = current_store(lake)
    try:
        if path:
            connection.execute(f"ATTACH {_quote(str(path.resolve()))} AS {STORE} (READ_ONLY)")
    except duckdb.IOException:
        return False  # dropped just now
    return path is not None


def _store_tables(tables: Tables, connection: duckdb.DuckDBPyConnection) -> Tables:
    """The tables as they are in the store: events name a contact by number, and features stand beside the contacts."""
    start, names = feature_rows.read(connection, STORE)
    features = [sa.Column(name, sa.BigInteger()) for number, _ in names.values() for name in columns(number)]
    number = sa.Column(NUMBER, sa.Integer())
    contacts = sa.Table(CONTACTS, sa.MetaData(), number, *_copies(tables.contacts), *features)
    others = [column for column in _copies(tables.events) if column.name != "contact_id"]
    events = sa.Table(EVENTS, sa.MetaData(), sa.Column(NUMBER, sa.Integer(), key="contact_id"), *others)
    return replace(tables, contacts=contacts, events=events, features=Features(contacts, start, names))


def _copies(table: sa.Table) -> list[sa.Column[Any]]:
    return [sa.Column(column.name, column.type) for column in table.columns]


def _views(connection: duckdb.DuckDBPyConnection, lake: Lake, tables: Tables, *, store: bool) -> list[Path]:
    """Show what the lake or the store holds as `tables`, and return the files that are read for it."""
    files: list[Path] = []
    for table in (tables.contacts, tables.events, tables.messages):
        if store and table.name != MESSAGES:
            connection.execute(f'CREATE VIEW "{table.name}" AS SELECT * FROM {STORE}."{table.name}"')
            continue
        own = [lake.path(table.name, partition) for partition in lake.partitions(table.name)]
        connection.execute(f'CREATE VIEW "{table.name}" AS {_view(table, own)}')
        files += own
    return files


def _view(table: sa.Table, files: list[Path]) -> str:
    if files:
        number = f', CAST(file_row_number AS INTEGER) AS "{NUMBER}"' if table.name == CONTACTS else ""
        return f"SELECT *{number} FROM read_parquet([{', '.join(_quote(glob_literal(file)) for file in files)}])"
    columns = ", ".join(f'CAST(NULL AS {column.type.compile(DuckDB())}) AS "{column.name}"' for column in table.columns)
    return f"SELECT {columns} WHERE false"


def _lock(connection: duckdb.DuckDBPyConnection, files: list[Path]) -> None:
    """Allow these files and what is attached, nothing else, for good."""
    allowed = [text for file in files for text in (str(file.resolve()), glob_literal(file))]
    connection.execute(f"SET allowed_paths = [{', '.join(map(_quote, allowed))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
