"""A contact file as a frame of normalised contacts, one row a contact; what is left out is rejected or counted."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from campaign_pipeline.contacts.addresses import normalise_emails, normalise_phones
from campaign_pipeline.contacts.csv_source import LINE, Table, read_table
from campaign_pipeline.contacts.mapping import TEXT_FIELDS, ContactMapping
from campaign_pipeline.contacts.rejects import Reject
from campaign_pipeline.contacts.values import (
    FALSE,
    TRUE,
    clean,
    contact_ids,
    infer_type,
    locales,
    moments,
    time_zones,
    typed,
    words,
)
from campaign_pipeline.core.words import ConsentState

ATTRIBUTE = "attribute:"
CONSENT = "consent:"
STATE_WORDS: dict[str, bool | str] = {
    **dict.fromkeys((*TRUE, "granted", "subscribed", "opted_in", "opt-in", "x"), ConsentState.GRANTED.value),
    **dict.fromkeys((*FALSE, "withdrawn", "unsubscribed", "opted_out", "opt-out"), ConsentState.WITHDRAWN.value),
}
"""What a consent column may say, whatever the case; an empty cell says nothing."""


@dataclass(frozen=True)
class Incoming:
    """`contacts`: LINE, contact_id, external_id, then of those that are mapped email and email_raw, phone and
    phone_raw, first_name, last_name, locale, country, timezone (String), created_at (TIME), `attribute:<name>` (typed)
    and `consent:<channel>` (String: a ConsentState, or null); contact_id is unique.
    """

    contacts: pl.DataFrame
    rejects: list[Reject]
    warnings: dict[str, int]
    read: int
    repeated: int


def read_contacts(
    file: Path, mapping: ContactMapping, *, delimiter: str, encoding: str, default_region: str
) -> Incoming:
    table = read_table(file, delimiter=delimiter, encoding=encoding)
    reader = _Reader(table.rows)
    frame = reader.contacts(mapping, mapping.attribute_columns(table.columns), default_region)
    keyed = frame.filter(pl.col("external_id").is_not_null())
    no_key = f"has no valid {mapping.key}, which is the contact's key"
    reasons = dict.fromkeys(frame.filter(pl.col("external_id").is_null())[LINE], no_key)
    contacts, repeated, contradicted = _one_row_a_contact(keyed)
    reasons |= {line: f"line {last} says otherwise of the same contact, and counts" for line, last in contradicted}
    rejects = table.rejects + reject_rows(table, reasons, delimiter)
    read = len(table.rows) + len(table.rejects)
    warnings = {kind: count for kind, count in reader.warnings.items() if count}
    return Incoming(contacts, rejects, warnings, read, repeated)


def _one_row_a_contact(frame: pl.DataFrame) -> tuple[pl.DataFrame, int, list[tuple[int, int]]]:
    """(the contacts, number of rows that repeat one to the letter, (line, line that counts) of contradicted rows).

    The last of a contact's rows counts, as if they had been imported one after the other.
    """
    content = [name for name in frame.columns if name != LINE]
    distinct = frame.unique(subset=content, keep="last", maintain_order=True)
    last = distinct.with_columns(pl.col(LINE).max().over("contact_id").alias("last"))
    counts = pl.col(LINE) == pl.col("last")
    contradicted = last.filter(~counts).select(LINE, "last").rows()
    return last.filter(counts).drop("last"), len(frame) - len(distinct), contradicted


def reject_rows(table: Table, reasons: dict[int, str], delimiter: str) -> list[Reject]:
    """The rows on the lines of `reasons`, written out again."""
    rows = table.rows.filter(pl.col(LINE).is_in(list(reasons)))
    mark = delimiter if len(delimiter) == 1 else ","
    rejects: list[Reject] = []
    for line, *cells in rows.select(LINE, *table.columns).iter_rows():
        text = io.StringIO()
        csv.writer(text, delimiter=mark).writerow(cells)
        rejects.append(Reject(line, reasons[line], text.getvalue()))
    return rejects


class _Reader:
    """Reads columns, counting the cells that hold something which cannot be used."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        self.warnings: dict[str, int] = {}

    def contacts(self, mapping: ContactMapping, attributes: dict[str, str], region: str) -> pl.DataFrame:
        columns: dict[str, pl.Series] = {}
        core = mapping.core_columns()
        country = self._country(core["country"]) if "country" in core else None
        if "email" in core:
            raw = self._cells(core["email"])
            columns |= {"email": self._checked("email", raw, normalise_emails(raw)), "email_raw": raw}
        if "phone" in core:
            raw = self._cells(core["phone"])
            phone = normalise_phones(raw, region, country)
            columns |= {"phone": self._checked("phone", raw, phone), "phone_raw": raw}
        columns |= {field: self._cells(core[field]) for field in TEXT_FIELDS if field in core}
        for field, read in (("locale", locales), ("timezone", time_zones)):
            if field in core:
                raw = self._cells(core[field])
                columns[field] = self._checked(field, raw, read(raw))
        if country is not None:
            columns["country"] = country
        if "created_at" in core:
            raw = self._cells(core["created_at"])
            times = moments(raw, mapping.formats.get("created_at"), mapping.time_zone)
            columns["created_at"] = self._checked("created_at", raw, times)
        for name, column in attributes.items():
            columns[ATTRIBUTE + name] = self._attribute(name, column, mapping)
        for channel, rule in mapping.consent.channels().items():
            columns[CONSENT + channel] = self._consent(channel, rule)
        key = self._cells(core["id"]) if mapping.key == "id" else columns[mapping.key]
        lead = {LINE: self.rows[LINE], "contact_id": contact_ids(key), "external_id": key}
        return pl.DataFrame([column.rename(name) for name, column in (lead | columns).items()])

    def _cells(self, column: str) -> pl.Series:
        return clean(self.rows[column])

    def _checked(self, what: str, raw: pl.Series, value: pl.Series) -> pl.Series:
        kind = f"invalid_{what}"
        self.warnings[kind] = self.warnings.get(kind, 0) + int((raw.is_not_null() & value.is_null()).sum())
        return value

    def _country(self, column: str) -> pl.Series:
        raw = self._cells(column)
        codes = raw.str.to_uppercase()
        return self._checked("country", raw, codes.set(~codes.str.contains("^[A-Z]{2}$"), None))

    def _attribute(self, name: str, column: str, mapping: ContactMapping) -> pl.Series:
        raw = self._cells(column)
        value_type = mapping.types.get(name) or infer_type(raw)
        return self._checked(name, raw, typed(raw, value_type, mapping.formats.get(name)))

    def _consent(self, channel: str, rule: str) -> pl.Series:
        if rule in list(ConsentState):
            return pl.Series([rule], dtype=pl.String).new_from_index(0, len(self.rows))
        raw = self._cells(rule)
        return self._checked(f"consent_{channel}", raw, words(raw, STATE_WORDS, pl.String))
