"""Contacts into the operational database: all of a file in one transaction, or nothing of it."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from campaign_pipeline.contacts.consent import record_changes
from campaign_pipeline.contacts.csv_source import LINE
from campaign_pipeline.contacts.imports import ImportResult, find_import, import_id, one_at_a_time, record_import
from campaign_pipeline.contacts.incoming import ATTRIBUTE, CONSENT, Incoming, read_contacts
from campaign_pipeline.contacts.mapping import ContactMapping
from campaign_pipeline.contacts.queries import KEYS
from campaign_pipeline.contacts.rejects import write_rejects
from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import contacts

Row = dict[str, Any]


def import_contacts(
    engine: sa.Engine,
    file: Path,
    mapping: ContactMapping,
    *,
    clock: Clock,
    rejects_path: Path,
    delimiter: str = ",",
    encoding: str = "utf-8",
    default_region: str = "US",
) -> ImportResult:
    """Take in the contacts of `file`: new ones are added, known ones get the values of the mapped columns.

    A row is rejected if it is structurally broken, has no key, or is contradicted by a later row of its contact; rows
    equal in all mapped columns are one. An address that is not valid stays as raw text, is null, and is a warning.
    What the mapping does not mention stays as it is; an empty cell empties its field, but never `created_at`.
    The same file with the same mapping again adds nothing. Consent follows consent.record_changes.
    """
    identity = import_id("contacts", file, mapping, delimiter, encoding, default_region)
    with reading(engine) as connection:
        if done := find_import(connection, identity):
            return done
    incoming = read_contacts(file, mapping, delimiter=delimiter, encoding=encoding, default_region=default_region)
    now = clock()
    with writing(engine) as connection:
        one_at_a_time(connection)
        if done := find_import(connection, identity):
            return done
        new, changed, unchanged = _upsert(connection, incoming.contacts, now)
        result = ImportResult(
            identity,
            read=incoming.read,
            new=new,
            changed=changed,
            unchanged=unchanged,
            repeated=incoming.repeated,
            rejected=len(incoming.rejects),
            rejects_path=write_rejects(rejects_path, incoming.rejects),
            warnings=incoming.warnings,
        )
        kept = _record_consent(connection, incoming, mapping, identity, now)
        if kept:
            result = replace(result, warnings=result.warnings | {"withdrawn_consent_kept": kept})
        record_import(connection, "contacts", file, result, now)
    return result


def _upsert(connection: sa.Connection, incoming: pl.DataFrame, now: datetime) -> tuple[int, int, int]:
    """Write what is new or different; the numbers of contacts new, changed and unchanged."""
    counted = {"new": 0, "changed": 0, "unchanged": 0}
    empty = connection.execute(sa.select(contacts.c.contact_id).limit(1)).first() is None
    statement = _upsert_statement(connection)
    for piece in incoming.iter_slices(KEYS):
        known = {} if empty else _known(connection, piece["contact_id"])
        rows: list[Row] = []
        for new in _rows(piece):
            old = known.get(new["contact_id"])
            merged = _merge(old, new, now)
            change = "new" if old is None else "unchanged" if merged is None else "changed"
            counted[change] += 1
            if merged is not None:
                rows.append(merged)
        if rows:
            connection.execute(statement, rows)
    return counted["new"], counted["changed"], counted["unchanged"]


def _upsert_statement(connection: sa.Connection) -> sa.Insert:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(contacts)
    others = {column.name: insert.excluded[column.name] for column in contacts.c if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=[contacts.c.contact_id], set_=others)


def _known(connection: sa.Connection, ids: pl.Series) -> dict[str, Row]:
    found = connection.execute(sa.select(contacts).where(contacts.c.contact_id.in_(ids.to_list())))
    return {row["contact_id"]: dict(row) for row in found.mappings()}


def _rows(piece: pl.DataFrame) -> list[Row]:
    """The contacts as rows of the table, with only the fields that the file has."""
    attributes = [name for name in piece.columns if name.startswith(ATTRIBUTE)]
    fields = [name for name in piece.columns if name != LINE and not name.startswith((ATTRIBUTE, CONSENT))]
    rows = piece.select(fields).to_dicts()
    named = piece.select(pl.col(name).alias(name.removeprefix(ATTRIBUTE)) for name in attributes)
    values: list[Row] = named.to_dicts() if attributes else [{} for _ in rows]
    return [row | {"attributes": value} for row, value in zip(rows, values, strict=True)]


def _merge(old: Row | None, new: Row, now: datetime) -> Row | None:
    """The whole row to write, or None if `old` says all of `new` already."""
    created_at = new.get("created_at")
    if old is None:
        blank = dict.fromkeys(contacts.c.keys())
        return blank | new | {"created_at": created_at or now, "updated_at": now}
    merged = old | new
    merged["created_at"] = created_at or old["created_at"]
    merged["attributes"] = old["attributes"] | new["attributes"]
    same = merged == old and _text(merged["attributes"]) == _text(old["attributes"])
    return None if same else merged | {"updated_at": now}


def _text(row: Row) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_SORT_KEYS)  # 1, 1.0 and True are equal in Python, but not here


def _record_consent(
    connection: sa.Connection, incoming: Incoming, mapping: ContactMapping, identity: str, now: datetime
) -> int:
    """Append the consent that is news; how many withdrawals were kept against the file."""
    columns = [name for name in incoming.contacts.columns if name.startswith(CONSENT)]
    if not columns:
        return 0
    said = (
        incoming.contacts.select("contact_id", pl.col(LINE).alias("line"), *columns)
        .unpivot(columns, index=["contact_id", "line"], variable_name="channel", value_name="state")
        .drop_nulls("state")
        .with_columns(pl.col("channel").str.strip_prefix(CONSENT))
        .sort("line", "channel")
    )
    rule = mapping.consent
    _, kept = record_changes(connection, said, source=rule.source, purpose=rule.purpose, import_id=identity, at=now)
    return kept
