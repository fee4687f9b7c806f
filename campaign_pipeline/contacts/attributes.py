"""The catalogue of contacts' attributes: what each is called, of which type it is, and what it means.

Whoever brings a new attribute declares it. From then on its type is a promise: the snapshot has one column of it, and
segments are checked against it. Changing it is a decision (see retype), never a side effect of a file.
"""

import difflib
import re
from collections.abc import Mapping
from datetime import datetime

import orjson
import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.mapping import CORE_FIELDS
from campaign_pipeline.contacts.queries import stream_frame
from campaign_pipeline.contacts.values import TIME, ValueType, typed
from campaign_pipeline.core.database import insert_new
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.tables import attributes, contacts

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_WIDER = {(ValueType.INTEGER, ValueType.NUMBER)}
_CATALOGUE = {
    "attribute": pl.String,
    "type": pl.String,
    "description": pl.String,
    "declared_by": pl.String,
    "declared_at": TIME,
}


def check_attribute(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"attribute name {name!r} is not usable",
            "Use lower-case letters, digits and _, starting with a letter, at most 64 characters.",
        )
    if name in CORE_FIELDS:
        raise InvalidInput(
            f"attribute name {name!r} is a field that every contact has", "Give the attribute another name."
        )
    return name


def known_attributes(connection: sa.Connection) -> dict[str, ValueType]:
    """The type of every attribute, by name, sorted."""
    query = sa.select(attributes.c.attribute, attributes.c.type).order_by(attributes.c.attribute)
    return {name: ValueType(kind) for name, kind in connection.execute(query)}


def declare_attributes(
    connection: sa.Connection, types: Mapping[str, ValueType], *, declared_by: str, at: datetime
) -> None:
    """Add those of `types` that are new; `declared_by` is the import's id or the operator.

    Whole numbers fit an attribute of type number, and fractions make a number of one of type integer; any other
    difference is InvalidInput, and names the attribute and both types.
    """
    entries = [
        {"attribute": check_attribute(name), "type": kind.value, "declared_by": declared_by, "declared_at": at}
        for name, kind in types.items()
    ]
    insert_new(connection, attributes, entries)  # first: what another declared meanwhile is compared too
    known = known_attributes(connection)
    for name, kind in sorted(types.items()):
        if (known[name], kind) in _WIDER:
            _set(connection, name, type=kind.value)
        elif kind is not known[name] and (kind, known[name]) not in _WIDER:
            raise InvalidInput(
                f"attribute {name!r} is of type {known[name]}, not {kind}",
                f"Map it to another name, or change the type first: campaigns attributes retype {name} {kind}",
            )


def catalogue(connection: sa.Connection) -> pl.DataFrame:
    """(attribute, type, description, declared_by: String, declared_at: UTC), sorted by attribute."""
    query = sa.select(*(attributes.c[name] for name in _CATALOGUE)).order_by(attributes.c.attribute)
    return stream_frame(connection, query, _CATALOGUE)


def describe(connection: sa.Connection, name: str, description: str) -> None:
    """Say what an attribute means. NotFound if it is not declared."""
    require_attribute(connection, name)
    _set(connection, name, description=description.strip())


def require_attribute(connection: sa.Connection, name: str) -> ValueType:
    """The attribute's type; NotFound, with the nearest name, if there is none."""
    known = known_attributes(connection)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "See: campaigns attributes list"
        raise NotFound(f"there is no attribute {name!r}", hint)
    return known[name]


def retype(connection: sa.Connection, name: str, kind: ValueType, *, at: datetime) -> int:
    """Change an attribute's type and every contact's value of it; how many values were written anew.

    InvalidInput, and nothing is changed, if a value is not of the new type, as an import would read it.
    """
    before = require_attribute(connection, name)
    if kind is before:
        return 0
    mentioned = sa.cast(contacts.c.attributes, sa.Text).contains(f'"{name}"', autoescape=True)
    query = sa.select(contacts.c.contact_id, contacts.c.attributes).where(mentioned)
    rows = [(key, values) for key, values in connection.execute(query) if values.get(name) is not None]
    texts = pl.Series([_as_text(values[name]) for _, values in rows], dtype=pl.String)
    converted = typed(texts, kind)
    wrong = [key for (key, _), value in zip(rows, converted, strict=True) if value is None]
    if wrong:
        raise InvalidInput(
            f"attribute {name!r}: {len(wrong)} contacts have a value that is not of type {kind}",
            f"For example: {', '.join(wrong[:3])}. Correct them with an import first.",
        )
    statement = sa.update(contacts).where(contacts.c.contact_id == sa.bindparam("key"))
    statement = statement.values(attributes=sa.bindparam("new"), updated_at=at)
    new = [{"key": key, "new": values | {name: value}} for (key, values), value in zip(rows, converted, strict=True)]
    if new:
        connection.execute(statement, new)
    _set(connection, name, type=kind.value)
    return len(new)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _set(connection: sa.Connection, name: str, **values: str) -> None:
    connection.execute(sa.update(attributes).where(attributes.c.attribute == name).values(**values))
