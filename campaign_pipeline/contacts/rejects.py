"""What was not taken in: each rejected row with its line and the reason, written where the user can mend it."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Reject(NamedTuple):
    """`line`: the row's first line in the file, from 1. `reason` names no personal data. `text`: the row as it was."""

    line: int
    reason: str
    text: str


def write_rejects(path: Path, rejects: Sequence[Reject]) -> Path | None:
    """Write `rejects` by line as CSV (line, reason, row); None, and no file, if there are none.

    A cell that a spreadsheet would run as a formula gets an apostrophe in front (OWASP, CSV injection).
    """
    if not rejects:
        path.unlink(missing_ok=True)  # that of an earlier try would be taken for this one's
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("line", "reason", "row"))
        for reject in sorted(rejects):
            text = reject.text.rstrip("\r\n")
            writer.writerow((reject.line, escape_cell(reject.reason), escape_cell(text)))
    return path


def escape_cell(text: str) -> str:
    """`text` as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
