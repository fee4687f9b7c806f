"""The rows of a batch: what a template can read, as columns by name, and their distinct values.

Names are `contact.first_name`, `unsubscribe_url`, and inside a loop `item`, `item.price`, `loop.index`.
"""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

FEW = 4
"""Values are few if each is there at least this often, in the mean."""

_SAMPLE = 1_000
_ALL_BUT = 0.98
"""Of a sample of 1,000: what is expected to differ if there are 25,000 values, half of a chunk's rows."""

_ITSELF = (pl.String, pl.Boolean)
_WIDE = (pl.Int128, pl.UInt128)
_PHYSICAL = (pl.Datetime, pl.Date, pl.Time, pl.Duration)


@dataclass(frozen=True)
class Coded:
    """A column as its distinct values and, for each row, the position of its value.

    `keys` tell values apart that Python holds for equal (0.0 and -0.0, an hour that the clock shows twice).
    """

    codes: pl.Series  # UInt32
    keys: list[Hashable]
    values: list[Any]


class Rows:
    """`height` rows; a column is loaded when it is first asked for."""

    def __init__(
        self,
        height: int,
        names: Collection[str],
        load: Callable[[str], pl.Series],
        coded: Callable[[str], Coded | None] = lambda _name: None,
    ) -> None:
        self.height = height
        self.names = frozenset(names)
        self._load = load
        self._coded_elsewhere = coded
        self._columns: dict[str, pl.Series] = {}
        self._coded: dict[str, Coded | None] = {}
        self._derived: dict[tuple[str, str], pl.Series] = {}
        self._made: list[pl.Series] = []

    def __getitem__(self, name: str) -> pl.Series:
        if name not in self._columns:
            self._columns[name] = self._load(name)
        return self._columns[name]

    def coded(self, name: str) -> Coded | None:
        """The column by its distinct values; None if it has (nearly) as many as rows, or values that are nested."""
        if name not in self._coded:
            self._coded[name] = self._coded_elsewhere(name) or _coded(self[name])
        return self._coded[name]

    def few(self, name: str) -> bool:
        coded = self.coded(name)
        return coded is not None and len(coded.keys) * FEW <= self.height

    def derived(self, name: str, how: str, make: Callable[[pl.Series], pl.Series]) -> pl.Series:
        """`make` of a column, made once; `how` names it."""
        if (name, how) not in self._derived:
            self._derived[name, how] = make(self[name])
        return self._derived[name, how]

    def expression(self, series: pl.Series) -> pl.Expr:
        """`series` as an expression for `evaluate`."""
        for position, known in enumerate(self._made):
            if known is series:
                return pl.col(f"{position}")
        self._made.append(series)
        return pl.col(f"{len(self._made) - 1}")

    def evaluate(self, expressions: list[pl.Expr]) -> list[pl.Series]:
        """One series of `height` rows for each expression."""
        frame = pl.DataFrame({f"{position}": series for position, series in enumerate(self._made)})
        wanted = [each.alias(f"out{position}") for position, each in enumerate(expressions)]
        if not self._made:
            frame = pl.DataFrame({"": pl.Series(np.zeros(self.height, dtype=np.uint8))})
        return frame.with_columns(wanted).select(f"out{position}" for position in range(len(wanted))).get_columns()


def _coded(column: pl.Series) -> Coded | None:
    key = _key(column)
    if key is None:
        return None
    if len(key) > 2 * _SAMPLE and key.gather_every(len(key) // _SAMPLE).n_unique() > _SAMPLE * _ALL_BUT:
        return None
    encoded = key.to_arrow().dictionary_encode(null_encoding="encode")
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = pl.Series(np.asarray(encoded.indices)).cast(pl.UInt32)
    distinct = pl.Series(encoded.dictionary, dtype=key.dtype)
    return Coded(codes, distinct.to_list(), _values(column, distinct))


def _key(column: pl.Series) -> pl.Series | None:
    """A column of a simple type that differs wherever the values do; None for a type that has none."""
    kind = column.dtype
    if isinstance(kind, _ITSELF) or (kind.is_integer() and not isinstance(kind, _WIDE)):
        return column
    if isinstance(kind, _PHYSICAL):
        return column.to_physical()
    if kind == pl.Float64:
        bits = pl.Series(column.fill_null(0.0).to_numpy().view(np.int64))
        return bits.to_frame("bits").select(pl.when(pl.lit(column.is_not_null())).then("bits")).to_series()
    return None


def _values(column: pl.Series, distinct: pl.Series) -> list[Any]:
    kind = column.dtype
    if isinstance(kind, _PHYSICAL):
        return distinct.cast(kind).to_list()
    if kind == pl.Float64:
        floats = distinct.fill_null(0).to_numpy().view(np.float64).tolist()
        return [None if null else value for value, null in zip(floats, distinct.is_null(), strict=True)]
    return distinct.to_list()
