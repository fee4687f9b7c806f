"""Python values, as JSON and databases give them, in the text form that everything else reads."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import polars as pl

from campaign_pipeline.contacts.sources.table import LINE
from campaign_pipeline.contacts.values import ValueType

_BIGGEST = 2**63 - 1
EXACT = 2.0**53
"""Floating-point numbers below it hold every whole number exactly."""


class TextColumns:
    """Blocks of rows as text columns; remembers of which types the values of each column were."""

    def __init__(self) -> None:
        self.blocks: list[pl.DataFrame] = []
        self._kinds: dict[str, set[ValueType]] = {}

    def add(self, lines: Sequence[int], columns: Mapping[str, Iterable[object]]) -> None:
        series = [pl.Series(LINE, lines, dtype=pl.Int64)]
        for name, values in columns.items():
            kinds = self._kinds.setdefault(name, set())
            series.append(pl.Series(name, [_text(value, kinds) for value in values], dtype=pl.String))
        self.blocks.append(pl.DataFrame(series))

    def rows(self) -> pl.DataFrame:
        return pl.concat(self.blocks, how="diagonal") if self.blocks else pl.DataFrame(schema={LINE: pl.Int64})

    def types(self) -> dict[str, ValueType]:
        """The type that all values of a column have; mixed ones are text. A column without values has none."""
        return {name: _common(kinds) for name, kinds in self._kinds.items() if kinds}


def _common(kinds: set[ValueType]) -> ValueType:
    if kinds == {ValueType.INTEGER, ValueType.NUMBER}:
        return ValueType.NUMBER
    return next(iter(kinds)) if len(kinds) == 1 else ValueType.STRING


def _text(value: Any, kinds: set[ValueType]) -> str | None:
    kind, text = ValueType.STRING, value
    match value:
        case None:
            return None
        case str():
            pass
        case bool():
            kind, text = ValueType.BOOLEAN, "true" if value else "false"
        case int():
            kind, text = (ValueType.INTEGER if abs(value) <= _BIGGEST else ValueType.STRING), str(value)
        case float():  # a whole one is written without a fraction: tools that know no null make numbers of ids
            whole = value.is_integer() and abs(value) < EXACT
            kind, text = ValueType.NUMBER, str(int(value)) if whole else repr(value)
        case Decimal():
            kind, text = ValueType.NUMBER, f"{value:f}"
        case datetime() | time():
            text = value.isoformat()
        case date():
            kind, text = ValueType.DATE, value.isoformat()
        case bytes() | memoryview():
            text = bytes(value).decode("utf-8", "replace")
        case UUID():
            text = str(value)
        case _:
            text = orjson.dumps(value, default=str).decode()
    kinds.add(kind)
    return text
