"""What the inbox set aside because nothing could be made of it: shown, and taken in again once something can."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson

from campaign_pipeline.events.inbox_files import add_file, write_durably
from campaign_pipeline.events.inbox_reader import read_line
from campaign_pipeline.events.providers.ses import subscribe_url
from campaign_pipeline.events.shape import shape_of
from campaign_pipeline.operations.installation import Installation

WITHOUT_LINE = "nobody to suppress"
"""Begins the reason of events that were understood, and kept: only their consequence had no address."""


@dataclass(frozen=True)
class Rejected:
    """One thing set aside. `position`: the byte of `file` (in the inbox) at which its line begins."""

    kept_in: str  # file under inbox/rejected
    file: str
    position: int
    reason: str
    bytes: int  # of its content, which is not shown: it is personal data
    shape: str  # what can be told of it: shape.py
    confirm: str = ""  # URL at Amazon that a person opens, where this asks for it

    @property
    def provider(self) -> str:
        return self.file.partition("-")[0]

    @property
    def can_be_replayed(self) -> bool:
        return not self.reason.startswith(WITHOUT_LINE)


@dataclass
class Replayed:
    """`lines` of the inbox that go through it again; `kept`: rejections that stay, because their line is gone."""

    lines: int = 0
    rejections: int = 0
    kept: int = 0


def list_rejected(installation: Installation, reason: str = "") -> list[Rejected]:
    """All that was set aside, in the order of the files; `reason`: only those whose reason has this text in it."""
    found = (row for path in _files(installation) for row, _ in _rows(path))
    return [row for row in found if reason.lower() in row.reason.lower()]


def replay(installation: Installation, reason: str = "", file: str = "") -> Replayed:
    """Put the lines of the inbox that these came from into a new file of it: the next take-in reads them again.

    `file`: only those of this file of the inbox, or that are kept in this file under inbox/rejected. A line goes whole:
    whatever else of it was set aside is looked at again as well.

    An event that was understood then is known by its id, and counts once. What is still not understood is set aside
    anew. First the new file is durable, then the old rejections go: if that breaks off, lines are replayed twice.
    """
    done = Replayed()
    for path in _files(installation):
        rows = list(_rows(path))
        asked = [row for row, _ in rows if row.can_be_replayed and file in ("", row.file, row.kept_in)]
        chosen = [row for row in asked if reason.lower() in row.reason.lower()]
        lines = {row.position: _line(installation, row) for row in chosen}
        found = {position: line for position, line in lines.items() if line}
        done.kept += sum(row.position not in found for row in chosen)
        if not found:
            continue
        now = installation.clock()
        add_file(installation.settings.inbox_dir, chosen[0].provider, found.values(), now)
        left = [raw for row, raw in rows if not row.can_be_replayed or row.position not in found]
        if left:
            write_durably(path, left)
        else:
            path.unlink()
        done.lines += len(found)
        done.rejections += len(rows) - len(left)
    return done


def _line(installation: Installation, row: Rejected) -> bytes:
    path = installation.settings.inbox_dir / row.file
    line = read_line(path, row.position) if path.is_file() else b""
    return line if line.endswith(b"\n") and not line.startswith(b'{"erased"') else b""


def _files(installation: Installation) -> list[Path]:
    return sorted((installation.settings.inbox_dir / "rejected").glob("*.jsonl"))


def _rows(path: Path) -> Iterator[tuple[Rejected, bytes]]:
    with path.open("rb") as lines:
        for raw in lines:
            data: Any = orjson.loads(raw)
            row = cast("dict[str, Any]", data)
            if "erased" in row:
                continue
            content = str(row["content"])
            told = len(content.encode()), shape_of(content), subscribe_url(content)
            yield Rejected(path.name, row["file"], row["position"], row["reason"], *told), raw
