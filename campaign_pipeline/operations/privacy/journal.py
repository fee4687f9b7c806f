"""An erasure under way: what it needs to go on where it was broken off. The file goes when the erasure is done."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.privacy.lake import Pseudonyms
from campaign_pipeline.operations.privacy.person import Person


@dataclass
class Journal:
    """`erasure`: its random id, for the record. `touched`: runs whose messages are being replaced."""

    path: Path
    person: Person
    begun_at: str
    erasure: str = field(default_factory=lambda: token_hex(8))
    salt: str = field(default_factory=lambda: token_hex(16))
    touched: set[str] = field(default_factory=set[str])

    @property
    def pseudonyms(self) -> Pseudonyms:
        return Pseudonyms(self.salt)

    def touch(self, run_ids: Iterable[str]) -> None:
        self.touched |= set(run_ids)
        self.save()

    def save(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".new")
        data = asdict(self) | {"path": "", "touched": sorted(self.touched)}
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # personal data
            json.dump(data, file, default=sorted)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def end(self) -> None:
        self.path.unlink(missing_ok=True)


def folder(installation: Installation) -> Path:
    return installation.settings.data_dir / "erasures"


def begin(installation: Installation, person: Person, at: datetime) -> Journal:
    """The contact's journal: a new one, or the one that a broken-off erasure left, with what was found since."""
    path = folder(installation) / f"{person.contact_id}.json"
    journal = _read(path) if path.exists() else Journal(path, person, at.isoformat())
    before = journal.person
    journal.person = Person(
        person.contact_id,
        person.external_id or before.external_id,
        person.addresses | before.addresses,
        person.runs | before.runs,
        before.numbers | person.numbers,
        person.name or before.name,
    )
    journal.save()
    return journal


def is_begun(installation: Installation, person: Person) -> bool:
    return (folder(installation) / f"{person.contact_id}.json").exists()


def _read(path: Path) -> Journal:
    data: dict[str, Any] = json.loads(path.read_text())
    kept = data["person"]
    person = Person(
        kept["contact_id"],
        kept["external_id"],
        frozenset(kept["addresses"]),
        frozenset(kept["runs"]),
        dict(kept["numbers"]),
        tuple(kept["name"]),
    )
    return Journal(path, person, data["begun_at"], data["erasure"], data["salt"], set(data["touched"]))
