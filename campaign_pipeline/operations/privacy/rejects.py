"""The contact in the files of rows that were not taken in."""

import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.privacy.person import Person

LONGEST_ROW = 2**31 - 1
"""A broken quote can make one row of the rest of a file."""

_BETWEEN_CELLS = re.compile(r'[,;|\t\r\n"{}\[\]]+|:\s*"')


def folder(installation: Installation) -> Path:
    """Where imports put such files, unless they are told another place."""
    return installation.settings.data_dir / "rejects"


def find(folder: Path, person: Person) -> Iterator[dict[str, str]]:
    """{file, line, reason, row} of each row that is about the contact."""
    for path in _files(folder):
        for row in _rows(path):
            if len(row) == 3 and _is_about(row[2], person):
                yield {"file": path.name, "line": row[0], "reason": row[1], "row": row[2]}


def erase(folder: Path, person: Person) -> int:
    """Take the text of these rows out, line and reason stay; how many."""
    done = 0
    for path in _files(folder):
        rows = _rows(path)
        mine = [len(row) == 3 and _is_about(row[2], person) for row in rows]
        if not any(mine):
            continue
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerows([*row[:2], "(erased)"] if about else row for row, about in zip(rows, mine, strict=True))
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as file:
            file.write(text.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        done += sum(mine)
    return done


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("**/*.csv"))


def _rows(path: Path) -> list[list[str]]:
    before = csv.field_size_limit(LONGEST_ROW)  # that of the whole process: imports go by it, too
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))
    finally:
        csv.field_size_limit(before)


def _is_about(text: str, person: Person) -> bool:
    """Whatever separates the cells of the row."""
    return person.is_in(text) or person.owns_cells(_BETWEEN_CELLS.split(text))
