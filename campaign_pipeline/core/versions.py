"""Immutable versions of definitions: segments, templates and campaigns are kept the same way.

A version table has the columns (<name>, version, hash, definition, applied_at), the first naming the thing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.ids import digest

Change = Literal["new", "changed", "unchanged"]


@dataclass(frozen=True)
class Version:
    name: str
    version: int
    hash: str
    definition: dict[str, Any]


def definition_hash(definition: Mapping[str, Any]) -> str:
    return digest(json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def apply_version(
    connection: sa.Connection, table: sa.Table, name: str, definition: dict[str, Any], at: datetime
) -> tuple[Change, Version]:
    """Keep `definition` (plain JSON) as the newest version of `name`; an equal one adds nothing."""
    new_hash = definition_hash(definition)
    newest = _newest(connection, table, name)
    if newest and newest.hash == new_hash:
        return "unchanged", newest
    version = Version(name, newest.version + 1 if newest else 1, new_hash, definition)
    key = table.c[0].name
    connection.execute(
        sa.insert(table).values(
            {key: name, "version": version.version, "hash": new_hash, "definition": definition, "applied_at": at}
        )
    )
    return ("changed" if newest else "new"), version


def newest_version(connection: sa.Connection, table: sa.Table, name: str) -> Version:
    """The newest version of `name`; NotFound names what is there instead."""
    found = _newest(connection, table, name)
    if found is None:
        kind = table.c[0].name
        names = ", ".join(newest_versions(connection, table)) or "none"
        raise NotFound(
            f"{kind} {name!r} does not exist", f"There are: {names}. Load definitions with: campaigns apply DIR"
        )
    return found


def version(connection: sa.Connection, table: sa.Table, name: str, number: int) -> Version:
    row = connection.execute(sa.select(table).where(table.c[0] == name, table.c.version == number)).one_or_none()
    if row is None:
        raise NotFound(f"{table.c[0].name} {name!r} has no version {number}")
    return Version(row[0], row.version, row.hash, row.definition)


def newest_versions(connection: sa.Connection, table: sa.Table) -> dict[str, Version]:
    """The newest version of everything in `table`, by name, sorted."""
    rows = connection.execute(sa.select(table).order_by(table.c[0], table.c.version))
    return {row[0]: Version(row[0], row.version, row.hash, row.definition) for row in rows}


def _newest(connection: sa.Connection, table: sa.Table, name: str) -> Version | None:
    query = sa.select(table).where(table.c[0] == name).order_by(table.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return Version(row[0], row.version, row.hash, row.definition) if row else None
