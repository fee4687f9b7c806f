"""Attributes of contacts as typed columns: by the catalogue where they are declared, else by what the values are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import orjson
import polars as pl

from campaign_pipeline.contacts.values import ValueType

DTYPES: dict[ValueType, pl.DataType] = {
    ValueType.STRING: pl.String(),
    ValueType.DATE: pl.String(),
    ValueType.INTEGER: pl.Int64(),
    ValueType.NUMBER: pl.Float64(),
    ValueType.BOOLEAN: pl.Boolean(),
}

_EXPECTED: dict[ValueType, frozenset[type]] = {
    ValueType.STRING: frozenset({str}),
    ValueType.DATE: frozenset({str}),
    ValueType.INTEGER: frozenset({int}),
    ValueType.NUMBER: frozenset({int, float}),
    ValueType.BOOLEAN: frozenset({bool}),
}
_KINDS: dict[type, pl.DataType] = {bool: pl.Boolean(), int: pl.Int64(), float: pl.Float64()}


@dataclass
class AttributeReader:
    """Turns the JSON objects of contacts into columns, piece by piece.

    A declared attribute has its declared type, also where nobody has it. A value that does not fit is null and is
    counted in `misfits`; any value fits a text (a number is its JSON). An attribute that is not declared gets the type
    that holds all its values, and is named in `undeclared`.
    """

    declared: Mapping[str, ValueType]
    reserved: frozenset[str]
    misfits: dict[str, int] = field(default_factory=dict[str, int])
    undeclared: set[str] = field(default_factory=set[str])

    def columns(self, texts: Sequence[str]) -> list[pl.Series]:
        """One column an attribute, as long as `texts`; Null where an undeclared one has no value here."""
        objects: list[dict[str, Any]] = orjson.loads(f"[{','.join(texts)}]")
        others = set[str]().union(*objects) - set(self.declared) - self.reserved
        self.undeclared |= others
        declared = [
            self._declared(name, [item.get(name) for item in objects], kind) for name, kind in self.declared.items()
        ]
        return declared + [_inferred(name, [item.get(name) for item in objects]) for name in sorted(others)]

    def _declared(self, name: str, values: list[Any], kind: ValueType) -> pl.Series:
        given = len(values) - values.count(None)
        if not set(map(type, values)) <= {*_EXPECTED[kind], type(None)}:
            values = [_fitted(value, kind) for value in values]
        column = pl.Series(name, values, dtype=DTYPES[kind], strict=False)  # not strict: 2**63 is too long for Int64
        if lost := given - column.count():
            self.misfits[name] = self.misfits.get(name, 0) + lost
        return column


def stacked(pieces: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The pieces below each other; a column has the type that holds the values of all of them."""
    types = reduce(_merge_types, (piece.schema for piece in pieces), dict[str, pl.DataType]())
    final = {name: pl.String() if dtype == pl.Null else dtype for name, dtype in types.items()}
    cast = [
        piece.cast({name: dtype for name, dtype in final.items() if name in piece.columns})  # pyright: ignore[reportArgumentType]
        for piece in pieces
    ]
    return pl.concat(cast, how="diagonal")


def _fitted(value: Any, kind: ValueType) -> Any:
    """`value` as one of its kind; None if it cannot be."""
    if value is None or type(value) in _EXPECTED[kind]:
        return value
    if kind in (ValueType.STRING, ValueType.DATE):
        return orjson.dumps(value).decode()
    if kind is ValueType.INTEGER and isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def _inferred(name: str, values: list[Any]) -> pl.Series:
    dtypes = {_KINDS.get(kind, pl.String()) for kind in set(map(type, values)) - {type(None)}}
    dtype: pl.DataType = reduce(_wider, dtypes, pl.Null())
    if dtype == pl.String:
        values = [
            value if value is None or isinstance(value, str) else orjson.dumps(value).decode() for value in values
        ]
    return pl.Series(name, values, dtype=dtype, strict=False)


def _wider(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    """The type that holds the values of both."""
    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    return pl.Float64() if {one, other} == {pl.Int64(), pl.Float64()} else pl.String()


def _merge_types(types: dict[str, pl.DataType], more: pl.Schema) -> dict[str, pl.DataType]:
    return types | {name: _wider(types.get(name, pl.Null()), dtype) for name, dtype in more.items()}
