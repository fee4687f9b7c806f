"""Imports in general: what they are known by, what they tell, and that one runs at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from campaign_pipeline.contacts.comparing import Change
from campaign_pipeline.contacts.mapping import ContactMapping, EventMapping
from campaign_pipeline.contacts.rejects import Reject
from campaign_pipeline.contacts.sources import Source
from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.ids import digest
from campaign_pipeline.core.tables import imports

REJECTS_SHOWN = 5


@dataclass(frozen=True)
class ImportResult:
    """Counts of rows: read = new + changed + unchanged + repeated + rejected (all 0 but `read` if already imported).

    `repeated`: rows that say again what another row of the file, or an event in the lake, says. `warnings`: what was
    taken in with a part left out, by kind, such as {"invalid_email": 3}; these are not rejects. `examples`: the first
    lines of each kind. `fields`: by field, the number of known contacts in which it changes. `types`: of the attributes
    or properties. `sample`: the first changes, with what the file says; `first_rejects`: (line, reason).
    `dry_run`: nothing was written, and no file of rejects.
    """

    import_id: str
    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    repeated: int = 0
    rejected: int = 0
    rejects_path: Path | None = None
    already_imported: bool = False
    dry_run: bool = False
    warnings: dict[str, int] = field(default_factory=dict[str, int])
    examples: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    fields: dict[str, int] = field(default_factory=dict[str, int])
    types: dict[str, ValueType] = field(default_factory=dict[str, ValueType])
    sample: list[Change] = field(default_factory=list[Change])
    first_rejects: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


def first_rejects(rejects: Sequence[Reject]) -> list[tuple[int, str]]:
    """(line, reason) of the first few, by line."""
    return [(reject.line, reject.reason) for reject in sorted(rejects)[:REJECTS_SHOWN]]


def import_id(kind: str, source: Source, mapping: ContactMapping | EventMapping, *how: str) -> str:
    """A function of what the source holds, its mapping and how it is read; not of its name."""
    return digest("import", kind, source.content(), mapping.model_dump_json(), *source.settings(), *how)


def find_import(connection: sa.Connection, identity: str) -> ImportResult | None:
    """The result of an import that was made before."""
    query = sa.select(imports.c.rows_read).where(imports.c.import_id == identity)
    read = connection.execute(query).scalar_one_or_none()
    return None if read is None else ImportResult(identity, read=read, already_imported=True)


def one_at_a_time(connection: sa.Connection) -> None:
    """Wait for other imports, in this transaction: what is new is decided by what is there."""
    if connection.dialect.name == "postgresql":  # on SQLite, only one may write anyway
        connection.execute(sa.text("LOCK TABLE imports IN SHARE ROW EXCLUSIVE MODE"))


def record_import(connection: sa.Connection, kind: str, source: Source, result: ImportResult, at: datetime) -> None:
    connection.execute(
        sa.insert(imports).values(
            import_id=result.import_id,
            kind=kind,
            source=source.name,
            rows_read=result.read,
            rows_accepted=result.read - result.rejected,
            rows_rejected=result.rejected,
            imported_at=at,
        )
    )
