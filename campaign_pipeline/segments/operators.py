"""The comparisons of traits and property filters: how they are written, what values fit, and their SQL.

Text is compared byte by byte (capitals first), so that ISO dates kept as text compare as dates. A comparison with
something that is not set is false, `ne` and `not_in` too; `not` around a node turns that round.
"""

from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Annotated, Any, Self, TypeVar
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.segments.catalogue import Kind
from campaign_pipeline.segments.dialect import Bytewise
from campaign_pipeline.segments.moments import iso, moment


class Operator(StrEnum):
    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    STARTS = "starts"
    IS_SET = "is_set"


WORDS = {
    Operator.EQ: "is",
    Operator.NE: "is not",
    Operator.GT: "more than",
    Operator.GTE: "at least",
    Operator.LT: "less than",
    Operator.LTE: "at most",
    Operator.IN: "is one of",
    Operator.NOT_IN: "is none of",
    Operator.CONTAINS: "contains",
    Operator.STARTS: "starts with",
}
_ORDERED = {Operator.GT, Operator.GTE, Operator.LT, Operator.LTE}
_EQUAL = {Operator.EQ, Operator.NE, Operator.IN, Operator.NOT_IN}
_OPERATORS = {
    Kind.TEXT: _EQUAL | _ORDERED | {Operator.CONTAINS, Operator.STARTS},
    Kind.INTEGER: _EQUAL | _ORDERED,
    Kind.NUMBER: _EQUAL | _ORDERED,
    Kind.BOOLEAN: _EQUAL,
    Kind.MOMENT: _ORDERED,  # to be equal to the microsecond is never what was meant
    Kind.OTHER: set[Operator](),
}

Scalar = str | bool | int | float
T = TypeVar("T")


def _scalar(value: object) -> object:
    value = iso(value)
    if value is None:
        raise ValueError("needs a value; for what has none use is_set: false")
    if not isinstance(value, Scalar):
        raise ValueError("must be text, a number, true or false")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("contains a NUL character")
    if (isinstance(value, int) and abs(value) >= 2**63) or (isinstance(value, float) and not isfinite(value)):
        raise ValueError("is too large a number")
    return value


Value = Annotated[StrictStr | StrictBool | StrictInt | StrictFloat, BeforeValidator(_scalar)]
Text = Annotated[StrictStr, BeforeValidator(_scalar), Field(min_length=1)]


def not_empty(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("is empty: at least one is needed")
    return values


Values = Annotated[tuple[Value, ...], Field(max_length=10_000), AfterValidator(not_empty)]


class Comparison(Definition):
    """Something compared with exactly one operator, such as `gte: 50` or `in: [DE, AT]`."""

    eq: Value | None = None
    ne: Value | None = None
    gt: Value | None = None
    gte: Value | None = None
    lt: Value | None = None
    lte: Value | None = None
    in_: Values | None = Field(None, alias="in")
    not_in: Values | None = None
    contains: Text | None = None
    starts: Text | None = None
    is_set: StrictBool | None = None

    @model_validator(mode="after")
    def _has_one_operator(self) -> Self:
        found = [operator for operator in Operator if self._given(operator) is not None]
        if len(found) != 1:
            raise ValueError(f"{', '.join(found) or 'no operator'}: exactly one is needed of {', '.join(Operator)}")
        return self

    def _given(self, operator: Operator) -> Any:
        return getattr(self, "in_" if operator is Operator.IN else operator.value)

    @property
    def operator(self) -> Operator:
        return next(operator for operator in Operator if self._given(operator) is not None)

    @property
    def value(self) -> Any:
        return self._given(self.operator)

    @property
    def kind(self) -> Kind:
        """The kind of the value itself: NUMBER, TEXT or BOOLEAN; ValueError if a list mixes them."""
        kinds = {_kind_of(value) for value in (self.value if isinstance(self.value, tuple) else (self.value,))}
        if len(kinds) > 1:
            raise ValueError(f"{self.operator}: the values are of several types: {', '.join(sorted(kinds))}")
        return kinds.pop()

    def says(self) -> str:
        """The comparison in words, such as `is one of DE, AT`."""
        if self.operator is Operator.IS_SET:
            return "is set" if self.value else "is not set"
        value: Any = self.value
        text = ", ".join(_say(item) for item in value) if isinstance(value, tuple) else _say(value)
        return f"{WORDS[self.operator]} {text if len(text) <= 60 else text[:60] + '...'}"

    def fitted(self, kind: Kind, zone: ZoneInfo) -> Any:
        """The value as something of `kind` is compared with it; ValueError if it does not fit."""
        if self.operator not in _OPERATORS[kind]:
            fits = ", ".join(sorted(_OPERATORS[kind] | {Operator.IS_SET}))
            raise ValueError(f"{self.operator} does not go with {kind}; possible: {fits}")
        if isinstance(self.value, tuple):
            values: tuple[Scalar, ...] = self.value
            fitted = [_fit(value, kind, zone) for value in values]
            # SQL compares a list as one type: whole numbers go with fractions as fractions.
            return [_fit(value, Kind.NUMBER, zone) for value in values] if _has_fraction(fitted) else fitted
        return _fit(self.value, kind, zone)


def compare(subject: sa.ColumnElement[Any], kind: Kind, operator: Operator, value: Any) -> sa.ColumnElement[bool]:
    """`subject operator value` in SQL; `value` is fitted to `kind` and always bound."""
    if kind is Kind.TEXT:
        subject = Bytewise(subject)
    if kind is Kind.INTEGER and _has_fraction(value if isinstance(value, list) else [value]):
        subject = sa.cast(subject, sa.Double())
    match operator:
        case Operator.EQ:
            return subject == value
        case Operator.NE:
            return subject != value
        case Operator.GT:
            return subject > value
        case Operator.GTE:
            return subject >= value
        case Operator.LT:
            return subject < value
        case Operator.LTE:
            return subject <= value
        case Operator.IN:
            return subject.in_(value)
        case Operator.NOT_IN:
            return subject.not_in(value)
        case Operator.CONTAINS:
            return sa.func.strpos(subject, value) > 0
        case Operator.STARTS:
            return sa.func.starts_with(subject, value)
        case Operator.IS_SET:
            return subject.is_not(None) if value else subject.is_(None)


def _has_fraction(values: list[Any]) -> bool:
    return any(isinstance(value, float) for value in values)


def _kind_of(value: Scalar) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOLEAN
    return Kind.TEXT if isinstance(value, str) else Kind.NUMBER


def _fit(value: Scalar, kind: Kind, zone: ZoneInfo) -> Scalar | datetime:
    found = _kind_of(value)
    if kind is Kind.MOMENT and isinstance(value, str):
        return moment(value, zone)
    if kind is Kind.NUMBER and found is Kind.NUMBER:
        return float(value)
    if found is kind or (kind is Kind.INTEGER and found is Kind.NUMBER):
        return value
    quote = "; put the value in quotes" if kind is Kind.TEXT else ""
    quote += " (YAML reads a bare yes, no, on and off as true/false)" if quote and found is Kind.BOOLEAN else ""
    raise ValueError(f"{_say(value)} is {_article(found)}, not {_article(kind)}{quote}")


def _article(kind: Kind) -> str:
    return kind if kind in (Kind.TEXT, Kind.BOOLEAN) else f"a {kind}"


def _say(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
