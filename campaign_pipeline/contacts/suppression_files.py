"""Suppressions from and to CSV files, such as the unsubscribe list of the system that sent before."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from campaign_pipeline.contacts.addresses import normalise_email, normalise_phone
from campaign_pipeline.contacts.rejects import FORMULA, Reject, escape_cell, write_rejects
from campaign_pipeline.contacts.suppression import EVERY_CHANNEL, EVERY_TOPIC, Suppression, holding, suppress
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import digest
from campaign_pipeline.core.tables import suppressions
from campaign_pipeline.core.words import Channel, SuppressionReason

COLUMNS = ("address", "channel", "topic", "reason", "recorded_at", "expires_at", "source")
TOPIC = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""A purpose of consent, as a campaign names it."""

REASONS = tuple(reason for reason in SuppressionReason if reason is not SuppressionReason.ERASED)
"""Those that can be given: an erased address is not known."""

_Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class SuppressionImport:
    """Counts of rows: read = added + held + expired + rejected. `held`: suppressed already, for as long or longer."""

    read: int
    added: int
    held: int
    expired: int
    rejected: int
    rejects_path: Path | None


def import_suppressions(
    connection: sa.Connection,
    file: Path,
    *,
    at: datetime,
    rejects_path: Path,
    region: str,
    column: str = "address",
    channel: str = EVERY_CHANNEL,
    topic: str = EVERY_TOPIC,
    reason: SuppressionReason = SuppressionReason.MANUAL,
) -> SuppressionImport:
    """Suppress the addresses of a CSV file (UTF-8, header line).

    Column `column` has the addresses; `channel`, `topic`, `reason` and `expires_at` may be columns too (an empty cell,
    or none: the argument). What is suppressed already is not added again, so that the same file twice adds nothing;
    what was lifted in between is suppressed again. Rows that cannot be read are kept aside with line and reason.
    """
    known = _held(connection, at)
    given = {"channel": channel, "topic": topic, "reason": reason.value}
    new: dict[_Key, Suppression] = {}
    rejects: list[Reject] = []
    read = held = expired = 0
    for line, row, text in _rows(file, column):
        read += 1
        try:
            entry = _entry(row, column, given, at, region)
        except InvalidInput as error:
            rejects.append(Reject(line, error.message, text))
            continue
        key = _key(entry.channel, entry.topic, entry.address, entry.reason)
        if entry.expires_at is not None and entry.expires_at <= at:
            expired += 1
        elif _as_long(known.get(key), entry.expires_at):
            held += 1
        else:
            known[key] = entry.expires_at or _FOR_EVER
            held += key in new
            new[key] = entry
    suppress(connection, list(new.values()))
    return SuppressionImport(read, len(new), held, expired, len(rejects), write_rejects(rejects_path, rejects))


def export_suppressions(connection: sa.Connection, file: Path, at: datetime) -> tuple[int, int]:
    """Write what holds at `at` as CSV with COLUMNS, as import_suppressions reads it; (rows, erased ones left out).

    Cells that a spreadsheet would run as a formula get an apostrophe in front: so do phone numbers.
    """
    table = suppressions.c
    query = holding(at).order_by(table.address, table.channel, table.topic, table.reason, table.suppression_id)
    rows = 0
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for entry in connection.execute(query).mappings():
            writer.writerow(escape_cell(_text(entry[name])) for name in COLUMNS)
            rows += 1
    erased = holding(at, hashed=True).subquery()
    return rows, connection.execute(sa.select(sa.func.count()).select_from(erased)).scalar_one()


def normalise_address(text: str, region: str) -> str:
    """An e-mail address or phone number as contacts have it; InvalidInput, without the address, for anything else."""
    plain = text.removeprefix("'") if text.removeprefix("'").startswith(FORMULA) else text  # as escape_cell wrote it
    address = normalise_email(plain) if "@" in plain else normalise_phone(plain, region)
    if address is None:
        raise InvalidInput("the address is neither an e-mail address nor a phone number")
    return address


def check_scope(channel: str, topic: str) -> None:
    """InvalidInput unless these are a channel, or EVERY_CHANNEL, and a purpose of consent, or EVERY_TOPIC."""
    if channel not in (*Channel, EVERY_CHANNEL):
        raise InvalidInput(f"channel {channel!r} is not known", f"There are: {', '.join((*Channel, EVERY_CHANNEL))}.")
    if topic != EVERY_TOPIC and not TOPIC.fullmatch(topic):
        raise InvalidInput(
            f"topic {topic!r} is not a purpose of consent", "Use lower-case letters, digits and _, such as newsletter."
        )


_FOR_EVER = datetime.max.replace(tzinfo=UTC)


def _held(connection: sa.Connection, at: datetime) -> dict[_Key, datetime]:
    """Until when each address is suppressed for each reason."""
    held: dict[_Key, datetime] = {}
    for row in connection.execute(holding(at)):
        key = _key(row.channel, row.topic, row.address, row.reason)
        held[key] = max(held.get(key, at), row.expires_at or _FOR_EVER)
    return held


def _key(channel: str, topic: str, address: str, reason: str) -> _Key:
    return str(channel), topic, address, str(reason)


def _as_long(known: datetime | None, wanted: datetime | None) -> bool:
    return known is not None and known >= (wanted or _FOR_EVER)


def _entry(row: Mapping[str, str], column: str, given: Mapping[str, str], at: datetime, region: str) -> Suppression:
    said = {name: row.get(name, "").strip() or default for name, default in given.items()}
    check_scope(said["channel"], said["topic"])
    if said["reason"] not in REASONS:
        raise InvalidInput(f"reason {said['reason']!r} is not one of {', '.join(REASONS)}")
    address = normalise_address(row[column].strip(), region)
    source = f"import:{digest(*said.values(), address)}:{at.isoformat()}"
    return Suppression(
        said["channel"],
        address,
        SuppressionReason(said["reason"]),
        source,
        at,
        said["topic"],
        _moment(row.get("expires_at", "").strip()),
    )


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput("expires_at is not a time such as 2026-03-02 or 2026-03-02T09:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _rows(file: Path, column: str) -> Iterator[tuple[int, dict[str, str], str]]:
    """(line, cells by column, the row as text)"""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            if column not in header:
                raise InvalidInput(
                    f"the file has no column {column!r}", f"It has: {', '.join(header) or 'nothing'}. See --column."
                )
            start = reader.line_num + 1
            for cells in reader:
                if cells:
                    row = dict(zip(header, cells, strict=False))
                    yield start, dict.fromkeys(header, "") | row, ",".join(cells)
                start = reader.line_num + 1
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise InvalidInput(f"{file} is not a CSV file in UTF-8") from None


def _text(value: datetime | str | None) -> str:
    return value.isoformat() if isinstance(value, datetime) else value or ""
