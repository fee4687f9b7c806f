"""Reading delimited text without guessing: every line of the file ends in a row or in a reject, never in neither.

Python's csv module reads, because it tells the line of each row: DuckDB's reader numbers rejects only, and both the
reasons given later and the ids of events without one depend on a row's line. The whole file is held as text columns
(about its own size), since the type of a column is decided over all of its values.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from campaign_pipeline.contacts.rejects import Reject
from campaign_pipeline.core.errors import InvalidInput

LINE = " line"
"""The column with a row's first line in the file, from 1. Names from files are stripped, so none can be equal."""

ENCODINGS = {
    "utf-8": "utf-8-sig",
    "utf-8-sig": "utf-8-sig",
    "utf-16": "utf-16",
    "latin-1": "latin-1",
    "cp1252": "cp1252",
}
DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
BLOCK = 50_000


@dataclass(frozen=True)
class Table:
    """`rows`: LINE (Int64) and one String column a header name, `""` where a cell is empty, in file order."""

    rows: pl.DataFrame
    rejects: list[Reject]

    @property
    def columns(self) -> list[str]:
        return [name for name in self.rows.columns if name != LINE]


def read_table(file: Path, *, delimiter: str = ",", encoding: str = "utf-8") -> Table:
    """The rows of `file`, whose first line is the header.

    `delimiter`: one character, `tab`, or `whitespace` (runs of blanks, no quoting). `encoding`: a key of ENCODINGS; a
    byte order mark is passed over. A quoted cell may hold delimiters, doubled quotes and line breaks.
    Rows with too few or too many cells, and quoting that does not close, become rejects. InvalidInput: the file cannot
    be read or decoded, is empty, holds NUL bytes, or has two columns of one name.
    """
    if encoding not in ENCODINGS:
        raise InvalidInput(f"encoding {encoding!r} is not supported", f"Use one of: {', '.join(ENCODINGS)}.")
    try:
        with file.open(encoding=ENCODINGS[encoding], newline="") as stream:
            lines = _Lines(file, encoding, stream)
            return _read(file, _records(lines, delimiter))
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None


class _Lines:
    """The file's physical lines; remembers how many there were and those of the record under way."""

    def __init__(self, file: Path, encoding: str, stream: Iterable[str]) -> None:
        self.file, self.encoding, self.stream = file, encoding, iter(stream)
        self.number = 0
        self.record: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self.stream)
        except UnicodeError:
            raise InvalidInput(
                f"{self.file}: after line {self.number} there are bytes that are not {self.encoding}",
                f"Give the file's encoding: {', '.join(ENCODINGS)}.",
            ) from None
        self.number += 1
        if "\0" in line:
            raise InvalidInput(
                f"{self.file}: line {self.number} holds a NUL byte",
                "The file is damaged, or it is UTF-16: then give the encoding utf-16.",
            )
        self.record.append(line)
        return line


Record = tuple[int, list[str] | str, str]
"""(first line, the cells or what is wrong, the text as it stands in the file)"""


def _records(lines: _Lines, delimiter: str) -> Iterator[Record]:
    if delimiter == "whitespace":
        for line in lines:
            if cells := line.split():
                yield lines.number, cells, line
            lines.record.clear()
        return
    mark = DELIMITERS.get(delimiter, delimiter)
    if len(mark) != 1 or mark in '"\r\n\0 ':
        raise InvalidInput(f"delimiter {delimiter!r} is not usable", "Use one character, tab or whitespace.")
    reader = csv.reader(lines, delimiter=mark, strict=True)
    while True:
        lines.record.clear()
        first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # the reader goes on at the next line: what it took in till now is one reject
            yield first, f"cannot be read as CSV: {error}", "".join(lines.record)
        else:
            if cells:
                yield first, cells, "".join(lines.record)


def _read(file: Path, records: Iterator[Record]) -> Table:
    names = _header(file, records)
    rejects: list[Reject] = []
    blocks: list[pl.DataFrame] = []
    numbers: list[int] = []
    rows: list[list[str]] = []
    for number, cells, text in records:
        if isinstance(cells, str):
            rejects.append(Reject(number, cells, text))
        elif len(cells) != len(names):
            rejects.append(Reject(number, f"has {len(cells)} cells where the header has {len(names)}", text))
        else:
            numbers.append(number)
            rows.append(cells)
            if len(rows) == BLOCK:
                blocks.append(_block(names, numbers, rows))
                numbers, rows = [], []
    blocks.append(_block(names, numbers, rows))
    return Table(pl.concat(blocks), rejects)


def _header(file: Path, records: Iterator[Record]) -> list[str]:
    found = next(records, None)
    if found is None:
        raise InvalidInput(f"{file} is empty", "The first line must name the columns.")
    number, cells, _ = found
    if isinstance(cells, str):
        raise InvalidInput(f"{file}: the header (line {number}) {cells}", "Check the delimiter and the quoting.")
    names = [cell.strip() or f"column_{place}" for place, cell in enumerate(cells, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(f"{file}: the header names {twice[0]!r} twice", "Rename one of the two columns.")
    return names


def _block(names: list[str], numbers: list[int], rows: list[list[str]]) -> pl.DataFrame:
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    series = [pl.Series(name, cells, dtype=pl.String) for name, cells in zip(names, columns, strict=True)]
    return pl.DataFrame([pl.Series(LINE, numbers, dtype=pl.Int64), *series])
