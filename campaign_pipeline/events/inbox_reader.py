"""Reading the inbox: what was appended since the cursor, in batches of whole lines, file by file."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import orjson
import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.tables import inbox_cursors
from campaign_pipeline.events.inbox_files import write_durably
from campaign_pipeline.events.record import Record, from_line

BATCH_BYTES = 32 * 2**20
"""Read at a time, about: bounds memory. A batch ends at the end of a line."""

_BLOCK = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something of the inbox that could not be understood, with the reason; kept, so that it can be replayed."""

    position: int  # byte in the file at which its line begins
    reason: str
    content: str  # the line, or the item of the line's body


@dataclass(frozen=True)
class Batch:
    """The lines of `file` from byte `start` up to `end`, each with its position; unreadable ones among rejections."""

    file: str
    start: int
    end: int
    records: list[tuple[int, Record]]
    rejections: list[Rejection]

    @property
    def partition(self) -> str:
        """The same bytes go to the same partition, however often they are read."""
        return f"{self.file.removesuffix('.jsonl')}-{self.start}"


class Pending(NamedTuple):
    position: int  # bytes read so far, over all files: only grows
    pending: int  # bytes of whole lines that were not read yet


def pending_bytes(engine: sa.Engine, folder: Path) -> Pending:
    """How much of the inbox was read, and how much waits. A torn last line does not wait: it may never be completed."""
    cursors = _cursors(engine)
    waiting = sum(_complete_end(path, cursors.get(path.name, 0)) - cursors.get(path.name, 0) for path in _files(folder))
    return Pending(sum(cursors.values()), waiting)


def read_new(engine: sa.Engine, folder: Path, batch_bytes: int = BATCH_BYTES) -> Iterator[Batch]:
    """Batches of what is behind the cursors now, oldest file first; what arrives meanwhile is left for the next call.

    The caller moves the cursor (`inbox_cursors`) to a batch's end once all that follows from it is durable.
    """
    cursors = _cursors(engine)
    for path in _files(folder):
        position = cursors.get(path.name, 0)
        end = _complete_end(path, position)
        while position < end:
            lines = _read_lines(path, position, min(batch_bytes, end - position))
            batch = _batch(path.name, position, lines)
            position = batch.end
            yield batch


def set_aside(folder: Path, batch: Batch, rejections: Sequence[Rejection]) -> None:
    """Write what was not understood to `folder`/rejected, under the batch's name: whole, replacing an earlier try."""
    if not rejections:
        return
    path = folder / "rejected" / f"{batch.partition}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"file": batch.file, **asdict(rejection)} for rejection in rejections)
    write_durably(path, (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))


def read_line(path: Path, position: int) -> bytes:
    """The line of an inbox file that begins at `position`, its end included."""
    with path.open("rb") as file:
        file.seek(position)
        return file.readline()


def _cursors(engine: sa.Engine) -> dict[str, int]:
    with reading(engine) as connection:
        rows = connection.execute(sa.select(inbox_cursors.c.file, inbox_cursors.c.position))
        return {row.file: row.position for row in rows}


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def _complete_end(path: Path, start: int) -> int:
    """The end of the last whole line behind `start`, or `start` if there is none."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > start:
            begin = max(start, end - _BLOCK)
            file.seek(begin)
            found = file.read(end - begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
    return start


def _read_lines(path: Path, start: int, size: int) -> bytes:
    """About `size` bytes from `start`, up to the end of a line; there is one."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(size)
        whole = data.rfind(b"\n") + 1
        return data[:whole] if whole else data + file.readline()


def _batch(file: str, start: int, lines: bytes) -> Batch:
    records: list[tuple[int, Record]] = []
    rejections: list[Rejection] = []
    position = start
    for line in lines.split(b"\n")[:-1]:
        try:
            records.append((position, from_line(line)))
        except InvalidInput as error:
            rejections.append(Rejection(position, error.message, line.decode("utf-8", "backslashreplace")))
        position += len(line) + 1
    return Batch(file, start, position, records, rejections)
