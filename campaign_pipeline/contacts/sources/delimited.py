"""Reading delimited text without guessing: every line of the file ends in a row or in a reject, never in neither.

Python's csv module reads, because it tells the line of each row: DuckDB's reader numbers rejects only, and both the
reasons given later and the ids of events without one depend on a row's line. The whole file is held as text columns
(about its own size), since the type of a column is decided over all of its values.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from campaign_pipeline.contacts.rejects import Reject
from campaign_pipeline.contacts.sources.lines import Lines, open_lines, reads_as_utf_8
from campaign_pipeline.contacts.sources.table import BLOCK, LINE, Table, checked_names
from campaign_pipeline.core.errors import InvalidInput

DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
NO_QUOTES = "none"
LONGEST_CELL = 131_072
"""Characters; a longer one is a sign of a quote that never closes."""
_SINGLE_BYTE = ("iso8859", "cp", "latin", "mac")


def read_delimited(
    file: Path, *, delimiter: str = ",", encoding: str = "utf-8", quote: str = '"', escape: str = ""
) -> Table:
    """The rows of `file`, whose first line is the header.

    `delimiter`: one character, `tab`, or `whitespace` (runs of blanks, no quoting). `encoding`: any that Python knows;
    a byte order mark is passed over. A cell in `quote` may hold delimiters, doubled quotes and line breaks; `none`: no
    character quotes. `escape`: a character that takes away the meaning of the next one, as MySQL writes.
    Rows with too few or too many cells, cells of more than 131,072 characters, and quoting that does not close become
    rejects. InvalidInput: the file cannot be read or decoded, is empty, holds NUL bytes, or names a column twice.
    """
    form = _Form.of(delimiter, quote, escape)
    with open_lines(file, encoding) as lines:
        table = _read(file, _records(lines, form), form.delimiter)
    odd = encoding.lower().startswith(_SINGLE_BYTE) and reads_as_utf_8(file)
    return Table(table.rows, table.rejects, delimiter=table.delimiter, warnings={"text_is_utf_8": 1} if odd else {})


@dataclass(frozen=True)
class _Form:
    delimiter: str
    quote: str | None
    escape: str | None
    blanks: bool = False

    @classmethod
    def of(cls, delimiter: str, quote: str, escape: str) -> "_Form":
        if delimiter == "whitespace":
            return cls(",", None, None, blanks=True)
        mark = DELIMITERS.get(delimiter, delimiter)
        quoting = None if quote == NO_QUOTES else quote
        if len(mark) != 1 or mark in '\r\n\0 "' or mark == quoting:
            raise InvalidInput(f"delimiter {delimiter!r} is not usable", "Use one character, tab or whitespace.")
        for what, sign in (("quote", quoting), ("escape", escape or None)):
            if sign is not None and (len(sign) != 1 or sign in "\r\n\0 " or sign == mark):
                raise InvalidInput(f"{what} {sign!r} is not usable", "Use one character; a quote may be none.")
        if escape and escape == quoting:
            raise InvalidInput(f"escape {escape!r} is the quote", "A doubled quote is understood without it.")
        return cls(mark, quoting, escape or None)


Record = tuple[int, list[str] | str, str]
"""(first line, the cells or what is wrong, the text as it stands in the file)"""


def _records(lines: Lines, form: _Form) -> Iterator[Record]:
    if form.blanks:
        for line in lines:
            if cells := line.split():
                yield lines.number, cells, line
            lines.record.clear()
        return
    csv.field_size_limit(LONGEST_CELL)  # the limit is one for the whole process: another part may have changed it
    quoting = csv.QUOTE_NONE if form.quote is None else csv.QUOTE_MINIMAL
    reader = csv.reader(
        lines, delimiter=form.delimiter, quotechar=form.quote, escapechar=form.escape, quoting=quoting, strict=True
    )
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


def _read(file: Path, records: Iterator[Record], delimiter: str) -> Table:
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
    return Table(pl.concat(blocks), rejects, delimiter=delimiter)


def _header(file: Path, records: Iterator[Record]) -> list[str]:
    found = next(records, None)
    if found is None:
        raise InvalidInput(f"{file} is empty", "The first line must name the columns.")
    number, cells, _ = found
    if isinstance(cells, str):
        raise InvalidInput(f"{file}: the header (line {number}) {cells}", "Check the delimiter and the quoting.")
    return checked_names(str(file), cells)


def _block(names: list[str], numbers: list[int], rows: list[list[str]]) -> pl.DataFrame:
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    series = [pl.Series(name, cells, dtype=pl.String) for name, cells in zip(names, columns, strict=True)]
    return pl.DataFrame([pl.Series(LINE, numbers, dtype=pl.Int64), *series])
