"""Rows from outside as a frame of normalised contacts, one row a contact; what is left out is rejected or counted."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from campaign_pipeline.contacts.addresses import normalise_emails, normalise_phones
from campaign_pipeline.contacts.findings import Findings
from campaign_pipeline.contacts.mapping import CONSENT_STATES, TEXT_FIELDS, ContactMapping
from campaign_pipeline.contacts.rejects import Reject
from campaign_pipeline.contacts.sources.table import LINE, Table
from campaign_pipeline.contacts.values import (
    FALSE,
    TRUE,
    ValueType,
    clean,
    contact_ids,
    infer_type,
    locales,
    moments,
    time_zones,
    typed,
    words,
)
from campaign_pipeline.core.progress import progress_of
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

    `types`: of the attributes that have a value, or whose type the mapping gives.
    """

    contacts: pl.DataFrame
    rejects: list[Reject]
    findings: Findings
    types: dict[str, ValueType]
    read: int
    repeated: int


def read_contacts(
    table: Table, mapping: ContactMapping, *, default_region: str, declared: Mapping[str, ValueType]
) -> Incoming:
    """The contacts of `table`; `declared` are the attributes' types in the catalogue."""
    reader = _Reader(table, declared)
    frame = reader.contacts(mapping, mapping.attribute_columns(table.columns), default_region)
    keyless = frame.filter(pl.col("external_id").is_null())
    keyed = frame.filter(pl.col("external_id").is_not_null()) if len(keyless) else frame
    reasons = dict.fromkeys(keyless[LINE], f"has no valid {mapping.key}, which is the contact's key")
    contacts, repeated, contradicted = _one_row_a_contact(keyed)
    reasons |= {line: f"line {last} says otherwise of the same contact, and counts" for line, last in contradicted}
    rejects = table.rejects + table.reject(reasons)
    return Incoming(contacts, rejects, reader.findings, reader.types, table.read, repeated)


def _one_row_a_contact(frame: pl.DataFrame) -> tuple[pl.DataFrame, int, list[tuple[int, int]]]:
    """(the contacts, number of rows that repeat one to the letter, (line, line that counts) of contradicted rows).

    The last of a contact's rows counts, as if they had been imported one after the other.
    """
    several = frame["contact_id"].is_duplicated()
    if not several.any():
        return frame, 0, []
    content = [name for name in frame.columns if name != LINE]
    rows = frame.filter(several)
    distinct = rows.unique(subset=content, keep="last", maintain_order=True)
    last = distinct.with_columns(pl.col(LINE).max().over("contact_id").alias("last"))
    counts = pl.col(LINE) == pl.col("last")
    contradicted = last.filter(~counts).select(LINE, "last").rows()
    contacts = pl.concat([frame.filter(~several), last.filter(counts).drop("last")]).sort(LINE)
    return contacts, len(rows) - len(distinct), contradicted


class _Reader:
    """Reads columns, noting the cells that hold something which cannot be used."""

    def __init__(self, table: Table, declared: Mapping[str, ValueType]) -> None:
        self.table, self.rows, self.lines, self.declared = table, table.rows, table.rows[LINE], declared
        self.findings = Findings()
        for kind, count in table.warnings.items():
            self.findings.counts[kind] = count
        self.types: dict[str, ValueType] = {}

    def contacts(self, mapping: ContactMapping, attributes: dict[str, str], region: str) -> pl.DataFrame:
        columns: dict[str, pl.Series] = {}
        core = mapping.core_columns()
        told = progress_of("checking (columns)")
        total = len(core) + len(attributes)
        country = self._country(core["country"]) if "country" in core else None
        if "email" in core:
            raw = self._cells(core["email"])
            columns |= {"email": self._checked("email", raw, normalise_emails(raw)), "email_raw": raw}
            self.findings.doubtful_emails(self.lines, columns["email"])
            told(1, total)
        if "phone" in core:
            raw = self._cells(core["phone"])
            phone = normalise_phones(raw, region, country)
            columns |= {"phone": self._checked("phone", raw, phone), "phone_raw": raw}
            told(2, total)
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
        for place, (name, column) in enumerate(attributes.items()):
            told(len(core) + place, total)
            columns[ATTRIBUTE + name] = self._attribute(name, column, mapping)
        for channel, rule in mapping.consent.channels().items():
            columns[CONSENT + channel] = self._consent(channel, rule)
        key = self._cells(core["id"]) if mapping.key == "id" else columns[mapping.key]
        lead = {LINE: self.lines, "contact_id": contact_ids(key), "external_id": key}
        told(total, total)
        return pl.DataFrame([column.rename(name) for name, column in (lead | columns).items()])

    def _cells(self, column: str) -> pl.Series:
        return clean(self.rows[column])

    def _checked(self, what: str, raw: pl.Series, value: pl.Series) -> pl.Series:
        return self.findings.invalid(what, self.lines, raw, value)

    def _country(self, column: str) -> pl.Series:
        raw = self._cells(column)
        codes = raw.str.to_uppercase()
        return self._checked("country", raw, codes.set(~codes.str.contains("^[A-Z]{2}$"), None))

    def _attribute(self, name: str, column: str, mapping: ContactMapping) -> pl.Series:
        raw = self._cells(column)
        value_type = self._type(name, column, raw, mapping.types.get(name))
        if name in mapping.types or raw.null_count() < len(raw):
            self.types[name] = value_type
        return self._checked(name, raw, typed(raw, value_type, mapping.formats.get(name)))

    def _type(self, name: str, column: str, raw: pl.Series, given: ValueType | None) -> ValueType:
        """The mapping's word, then the catalogue's, then what the source says or its values have in common."""
        if given is not None:
            return given
        declared = self.declared.get(name)
        if declared is not None and declared is not ValueType.INTEGER:
            return declared
        found = self.table.types.get(column) or infer_type(raw)
        widens = declared is ValueType.INTEGER and found is ValueType.NUMBER
        return found if declared is None or widens else declared

    def _consent(self, channel: str, rule: str) -> pl.Series:
        if rule in CONSENT_STATES:
            return pl.Series([rule], dtype=pl.String).new_from_index(0, len(self.rows))
        raw = self._cells(rule)
        return self._checked(f"consent_{channel}", raw, words(raw, STATE_WORDS, pl.String))
