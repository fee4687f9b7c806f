"""Contacts into the operational database: all of a source in one transaction, or nothing of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.attributes import check_attribute, declare_attributes, known_attributes
from campaign_pipeline.contacts.bulk import insert_frame, update_frame
from campaign_pipeline.contacts.comparing import Comparison, compare
from campaign_pipeline.contacts.consent import consent_news, record_news
from campaign_pipeline.contacts.imports import (
    ImportResult,
    find_import,
    first_rejects,
    import_id,
    one_at_a_time,
    record_import,
)
from campaign_pipeline.contacts.incoming import CONSENT, Incoming, read_contacts
from campaign_pipeline.contacts.mapping import ConsentMapping, ContactMapping
from campaign_pipeline.contacts.rejects import write_rejects
from campaign_pipeline.contacts.sources import Source, as_source
from campaign_pipeline.contacts.sources.table import LINE
from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.progress import progress_of
from campaign_pipeline.core.tables import contacts


def import_contacts(
    engine: sa.Engine,
    source: Path | Source,
    mapping: ContactMapping,
    *,
    clock: Clock,
    rejects_path: Path,
    default_region: str = "US",
    dry_run: bool = False,
) -> ImportResult:
    """Take in the contacts of `source`: new ones are added, known ones get the values of the mapped columns.

    A row is rejected if it is structurally broken, has no key, or is contradicted by a later row of its contact; rows
    equal in all mapped columns are one. An address that is not valid stays as raw text, is null, and is a warning.
    What the mapping does not mention stays as it is; an empty cell empties its field, but never `created_at`.
    Attributes are declared in the catalogue with their types; a value that is not of its attribute's type is null, and
    a warning. The same rows with the same mapping again add nothing. Consent follows consent.consent_news.
    `dry_run`: the same result, and nothing is written.
    """
    given = as_source(source)
    identity = import_id("contacts", given, mapping, default_region)
    with reading(engine) as connection:
        done = find_import(connection, identity)
        declared = known_attributes(connection)
    if done:
        return done
    incoming = _read(given, mapping, default_region, declared)
    if dry_run:
        with reading(engine) as connection:
            found = compare(connection, incoming.contacts)
            _, kept = consent_news(connection, _consent_said(incoming), mapping.consent.source, mapping.consent.purpose)
        return _result(identity, incoming, found, kept, dry_run=True)
    with writing(engine) as connection:
        one_at_a_time(connection)
        if done := find_import(connection, identity):
            return done
        now = clock()  # not before: what is committed later must not have changed earlier
        declare_attributes(connection, incoming.types, declared_by=identity, at=now)
        found = compare(connection, incoming.contacts)
        _write(connection, found, now)
        kept = _record_consent(connection, _consent_said(incoming), mapping.consent, identity, now)
        result = _result(identity, incoming, found, kept)
        result = replace(result, rejects_path=write_rejects(rejects_path, incoming.rejects))
        record_import(connection, "contacts", given, result, now)
    return result


def _read(source: Source, mapping: ContactMapping, region: str, declared: Mapping[str, ValueType]) -> Incoming:
    table = source.read()
    for name in mapping.attribute_columns(table.columns):
        check_attribute(name)
    return read_contacts(table, mapping, default_region=region, declared=declared)


def _result(identity: str, incoming: Incoming, found: Comparison, kept: int, *, dry_run: bool = False) -> ImportResult:
    return ImportResult(
        identity,
        read=incoming.read,
        new=len(found.new),
        changed=len(found.changed),
        unchanged=found.unchanged,
        repeated=incoming.repeated,
        rejected=len(incoming.rejects),
        dry_run=dry_run,
        warnings=incoming.findings.counts | ({"withdrawn_consent_kept": kept} if kept else {}),
        examples=incoming.findings.examples,
        fields=found.fields,
        types=incoming.types,
        sample=found.sample,
        first_rejects=first_rejects(incoming.rejects),
    )


def _write(connection: sa.Connection, found: Comparison, now: datetime) -> None:
    at = pl.lit(now).alias("updated_at")
    created = pl.col("created_at").fill_null(now) if "created_at" in found.new.columns else pl.lit(now)
    new = found.new.with_columns(created.alias("created_at"), at)
    if "attributes" not in new.columns:
        new = new.with_columns(pl.lit("{}").alias("attributes"))
    insert_frame(connection, contacts, new, progress_of("adding contacts"))
    changed = found.changed.drop("external_id").with_columns(at)
    update_frame(connection, contacts, "contact_id", changed, progress_of("changing contacts"))


def _consent_said(incoming: Incoming) -> pl.DataFrame:
    """(contact_id, line, channel, state) of what the source says."""
    columns = [name for name in incoming.contacts.columns if name.startswith(CONSENT)]
    return (
        incoming.contacts.select("contact_id", pl.col(LINE).alias("line"), *columns)
        .unpivot(columns, index=["contact_id", "line"], variable_name="channel", value_name="state")
        .cast({"channel": pl.String, "state": pl.String})
        .drop_nulls("state")
        .with_columns(pl.col("channel").str.strip_prefix(CONSENT))
        .sort("line", "channel")
    )


def _record_consent(
    connection: sa.Connection, said: pl.DataFrame, rule: ConsentMapping, identity: str, now: datetime
) -> int:
    """Append the consent that is news; how many withdrawals were kept against the source."""
    news, kept = consent_news(connection, said, rule.source, rule.purpose)
    record_news(connection, news, source=rule.source, purpose=rule.purpose, import_id=identity, at=now)
    return kept
