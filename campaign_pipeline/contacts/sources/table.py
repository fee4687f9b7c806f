"""Rows that came from outside, whatever they came from: text columns, with the place of each row."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from campaign_pipeline.contacts.rejects import Reject
from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.errors import InvalidInput

LINE = " line"
"""The column with a row's first line in the file, from 1, or its number where there are no lines. Names from outside
are stripped, so none can be equal."""

BLOCK = 50_000
"""Rows held as Python objects at once."""


@dataclass(frozen=True)
class Table:
    """`rows`: LINE (Int64) and one String column a name, null or `""` where a cell is empty, in the source's order.

    `types`: of the columns whose type the source itself says (those of CSV are inferred later). `delimiter`: what
    rejected rows are written with. `warnings`: what is odd about the source as a whole, by kind.
    """

    rows: pl.DataFrame
    rejects: list[Reject] = field(default_factory=list[Reject])
    types: Mapping[str, ValueType] = field(default_factory=dict[str, ValueType])
    delimiter: str = ","
    warnings: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def columns(self) -> list[str]:
        return [name for name in self.rows.columns if name != LINE]

    @property
    def read(self) -> int:
        """The number of rows that the source has, good and bad."""
        return len(self.rows) + len(self.rejects)

    def reject(self, reasons: Mapping[int, str]) -> list[Reject]:
        """The rows on the lines of `reasons`, written out again."""
        rows = self.rows.filter(pl.col(LINE).is_in(list(reasons)))
        rejects: list[Reject] = []
        for line, *cells in rows.select(LINE, *self.columns).iter_rows():
            text = io.StringIO()
            csv.writer(text, delimiter=self.delimiter).writerow(cells)
            rejects.append(Reject(line, reasons[line], text.getvalue()))
        return rejects


def checked_names(source: str, found: Sequence[str]) -> list[str]:
    """The names of a source's columns without white space around them; InvalidInput if two are one."""
    names = [name.strip() or f"column_{place}" for place, name in enumerate(found, start=1)]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidInput(f"{source}: the header names {name!r} twice", "Rename one of the two columns.")
        seen.add(name)
    return names


def without_nul(table: Table) -> Table:
    """The table with rows that hold a NUL character as rejects: no database keeps one in text."""
    cells = pl.any_horizontal(pl.lit(False), *(pl.col(name).str.contains("\0", literal=True) for name in table.columns))
    bad = table.rows.filter(cells)
    if bad.is_empty():
        return table
    rejects = table.reject(dict.fromkeys(bad[LINE].to_list(), "holds a NUL character"))
    return Table(
        table.rows.join(bad, on=LINE, how="anti", maintain_order="left"),
        [*table.rejects, *(reject._replace(text=reject.text.replace("\0", "\\0")) for reject in rejects)],
        table.types,
        table.delimiter,
        table.warnings,
    )
