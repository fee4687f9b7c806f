"""Contacts and their consent, lists and tags out of the operational database, for the snapshot.

Values are taken as the driver gives them and made into columns 50,000 at a time: a row object for each would take
three times as long.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.consent import MARKETING
from campaign_pipeline.contacts.queries import KEYS, PIECE, Query
from campaign_pipeline.contacts.snapshot_attributes import AttributeReader, stacked
from campaign_pipeline.contacts.values import TIME, ValueType
from campaign_pipeline.core.tables import consents, contact_tags, contacts, list_members
from campaign_pipeline.core.tables.base import Utc
from campaign_pipeline.core.words import ConsentState

FIELDS: dict[str, pl.DataType] = {
    "contact_id": pl.String(),
    "external_id": pl.String(),
    "email": pl.String(),
    "phone": pl.String(),
    "first_name": pl.String(),
    "last_name": pl.String(),
    "locale": pl.String(),
    "country": pl.String(),
    "timezone": pl.String(),
    "created_at": TIME,
    "updated_at": TIME,
}
_VERSION = {name: FIELDS[name] for name in ("contact_id", "updated_at")}
_CONSENT = {"consent_id": pl.Int64(), "contact_id": pl.String(), "channel": pl.String(), "state": pl.String()}
_MEMBER = {"contact_id": pl.String(), "name": pl.String()}


@dataclass(frozen=True)
class Rows:
    """`frame`: FIELDS and the attributes; the rest as in AttributeReader."""

    frame: pl.DataFrame
    undeclared: frozenset[str]
    misfits: dict[str, int]


def versions(connection: sa.Connection) -> pl.DataFrame:
    """(contact_id, updated_at) of all contacts."""
    return _frame(connection, sa.select(*_columns(connection, contacts, _VERSION)), _VERSION)


def read_rows(
    connection: sa.Connection,
    declared: Mapping[str, ValueType],
    reserved: frozenset[str],
    keys: pl.Series | None = None,
) -> Rows:
    """All contacts, or those of `keys`; an attribute whose name is `reserved` is left out."""
    reader = AttributeReader({name: kind for name, kind in declared.items() if name not in reserved}, reserved)
    text = sa.cast(contacts.c.attributes, sa.Text)
    query = sa.select(*_columns(connection, contacts, FIELDS), text)
    pieces = [
        _typed(columns[:-1], FIELDS).hstack(reader.columns(columns[-1]))
        for one in _for_keys(query, contacts.c.contact_id, keys)
        for columns in _pieces(connection, one)
    ]
    if not pieces:
        pieces = [pl.DataFrame(schema=FIELDS).hstack(reader.columns([]))]
    return Rows(stacked(pieces), frozenset(reader.undeclared), reader.misfits)


def consents_up_to(connection: sa.Connection, last: int | None = None) -> tuple[int, int]:
    """(the highest consent_id, or `last`, and how many entries there are up to it)."""
    key = consents.c.consent_id
    newest = sa.select(sa.func.coalesce(sa.func.max(key), 0))
    highest: int = connection.execute(newest).scalar_one() if last is None else last
    return highest, connection.execute(sa.select(sa.func.count()).where(key <= highest)).scalar_one()


def consented_since(connection: sa.Connection, last: int) -> pl.Series:
    """Ids of the contacts with an entry after consent_id `last`."""
    query = sa.select(consents.c.contact_id).where(consents.c.consent_id > last).distinct()
    return _frame(connection, query, {"contact_id": pl.String()}).get_column("contact_id")


def granted(connection: sa.Connection, keys: pl.Series | None = None) -> pl.DataFrame:
    """(contact_id, channel) of those whose newest entry for marketing is a grant; of all contacts, or of `keys`."""
    schema = _CONSENT | {"recorded_at": TIME}
    query = sa.select(*_columns(connection, consents, schema)).where(consents.c.purpose == MARKETING)
    entries = _frame(connection, query, schema, consents.c.contact_id, keys)
    newest = entries.sort("recorded_at", "consent_id").unique(["contact_id", "channel"], keep="last")
    return newest.filter(pl.col("state") == ConsentState.GRANTED.value).select("contact_id", "channel")


def memberships(connection: sa.Connection, keys: pl.Series | None = None) -> pl.DataFrame:
    """(contact_id, lists, tags: List(String), sorted) of the contacts that have some; of all, or of `keys`."""
    return _grouped(connection, list_members.c.list, "lists", keys).join(
        _grouped(connection, contact_tags.c.tag, "tags", keys), on="contact_id", how="full", coalesce=True
    )


def _grouped(connection: sa.Connection, name: sa.Column[Any], called: str, keys: pl.Series | None) -> pl.DataFrame:
    contact = name.table.c.contact_id
    found = _frame(connection, sa.select(contact, name), _MEMBER, contact, keys)
    return found.group_by("contact_id").agg(pl.col("name").sort().alias(called))


def _columns(
    connection: sa.Connection, table: sa.Table, schema: Mapping[str, pl.DataType]
) -> list[sa.ColumnElement[Any]]:
    """The table's columns; times as SQLite's own text, or as PostgreSQL's microseconds since 1970."""
    microseconds = connection.dialect.name == "postgresql"

    def plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
        if not isinstance(column.type, Utc):
            return column
        if microseconds:
            return sa.cast(sa.extract("epoch", column) * 1_000_000, sa.BigInteger)
        return sa.type_coerce(column, sa.Text)

    return [plain(table.c[name]) for name in schema]


def _frame(
    connection: sa.Connection,
    query: Query,
    schema: Mapping[str, pl.DataType],
    key: sa.ColumnElement[Any] | None = None,
    keys: pl.Series | None = None,
) -> pl.DataFrame:
    queries = [query] if key is None else _for_keys(query, key, keys)
    pieces = [_typed(columns, schema) for one in queries for columns in _pieces(connection, one)]
    return pl.concat(pieces) if pieces else pl.DataFrame(schema=schema)


def _for_keys(query: Query, key: sa.ColumnElement[Any], keys: pl.Series | None) -> list[Query]:
    if keys is None:
        return [query]
    return [query.where(key.in_(keys.slice(start, KEYS).to_list())) for start in range(0, len(keys), KEYS)]


def _pieces(connection: sa.Connection, query: Query) -> Iterator[list[tuple[Any, ...]]]:
    """The columns of the result, PIECE rows at a time."""
    for rows in connection.execute(query, execution_options={"yield_per": PIECE}).partitions():
        yield list(zip(*rows, strict=True))


def _typed(columns: Sequence[Sequence[Any]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    named = zip(schema.items(), columns, strict=True)
    return pl.DataFrame(
        [_time(name, values) if kind == TIME else pl.Series(name, values, kind) for (name, kind), values in named]
    )


def _time(name: str, values: Sequence[Any]) -> pl.Series:
    column = pl.Series(name, values)
    if column.dtype == pl.String:
        return column.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us").dt.replace_time_zone("UTC")
    return column.cast(TIME)
