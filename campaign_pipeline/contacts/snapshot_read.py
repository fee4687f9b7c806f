"""Contacts out of the operational database, for the snapshot: many rows at once, in bounded pieces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.queries import PIECE, stream_frame
from campaign_pipeline.contacts.snapshot_attributes import AttributeReader, stacked
from campaign_pipeline.contacts.values import TIME, ValueType
from campaign_pipeline.core.tables import attributes, contacts

FIELDS = {
    "contact_id": pl.String,
    "external_id": pl.String,
    "email": pl.String,
    "phone": pl.String,
    "first_name": pl.String,
    "last_name": pl.String,
    "locale": pl.String,
    "country": pl.String,
    "timezone": pl.String,
    "created_at": TIME,
}
_READ = FIELDS | {"updated_at": TIME}


@dataclass(frozen=True)
class Rows:
    """`frame`: FIELDS, updated_at and the attributes; the rest as in AttributeReader."""

    frame: pl.DataFrame
    undeclared: frozenset[str]
    misfits: dict[str, int]


def declared_types(connection: sa.Connection) -> dict[str, ValueType]:
    """The catalogue of attributes, by name."""
    query = sa.select(attributes.c.attribute, attributes.c.type).order_by(attributes.c.attribute)
    return {name: ValueType(kind) for name, kind in connection.execute(query)}


def read_rows(connection: sa.Connection, declared: Mapping[str, ValueType], reserved: frozenset[str]) -> Rows:
    """All contacts; an attribute whose name is `reserved` is left out."""
    reader = AttributeReader({name: kind for name, kind in declared.items() if name not in reserved}, reserved)
    text = sa.cast(contacts.c.attributes, sa.Text).label("attributes")
    query = sa.select(*(contacts.c[name] for name in _READ), text)
    found = connection.execute(query, execution_options={"yield_per": PIECE})
    pieces = [_piece([tuple(row) for row in rows], reader) for rows in found.partitions()]
    return Rows(stacked(pieces or [_piece([], reader)]), frozenset(reader.undeclared), reader.misfits)


def _piece(rows: list[tuple[Any, ...]], reader: AttributeReader) -> pl.DataFrame:
    fields = pl.DataFrame([row[:-1] for row in rows], _READ, orient="row")
    return fields.hstack(reader.columns([row[-1] for row in rows]))


def grouped(connection: sa.Connection, name: sa.Column[Any]) -> pl.DataFrame:
    """(contact_id, names: List(String), sorted): the lists or tags of each contact that has some."""
    query = sa.select(name.table.c.contact_id, name.label("name"))
    found = stream_frame(connection, query, {"contact_id": pl.String, "name": pl.String})
    return found.group_by("contact_id").agg(names=pl.col("name").sort())
