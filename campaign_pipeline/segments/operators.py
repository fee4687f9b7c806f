"""The comparisons of traits and property filters: how they are written, what values fit, and their SQL.

Text is compared byte by byte (capitals first), so that ISO dates kept as text compare as dates; `ignore_case: true`
compares it without regard to upper and lower case. A comparison with something that is not set is false, `ne` and
`not_in` too; `not` around a node turns that round. `between` includes both ends, of times the whole day if the end is a
date. What is compared with as_of is explained in `dates`.
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

from campaign_pipeline.segments.catalogue import Kind
from campaign_pipeline.segments.dates import Yearly, of_moment, of_text
from campaign_pipeline.segments.dialect import Bytewise
from campaign_pipeline.segments.folding import fold, folded
from campaign_pipeline.segments.moments import Duration, iso, last_moment, moment
from campaign_pipeline.segments.scope import Scope
from campaign_pipeline.segments.spelling import Spelled


class Operator(StrEnum):
    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NOT_IN = "not_in"
    BETWEEN = "between"
    CONTAINS = "contains"
    CONTAINS_ANY = "contains_any"
    STARTS = "starts"
    ENDS = "ends"
    OLDER_THAN = "older_than"
    NEWER_THAN = "newer_than"
    WITHIN_NEXT = "within_next"
    ANNIVERSARY = "anniversary"
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
    Operator.BETWEEN: "is between",
    Operator.CONTAINS: "contains",
    Operator.CONTAINS_ANY: "contains one of",
    Operator.STARTS: "starts with",
    Operator.ENDS: "ends with",
    Operator.OLDER_THAN: "is older than",
    Operator.NEWER_THAN: "is newer than",
    Operator.WITHIN_NEXT: "is within the next",
    Operator.ANNIVERSARY: "has its anniversary",
}
_ORDERED = {Operator.GT, Operator.GTE, Operator.LT, Operator.LTE, Operator.BETWEEN}
_SEARCH = {Operator.CONTAINS, Operator.CONTAINS_ANY, Operator.STARTS, Operator.ENDS}
_RELATIVE = {Operator.OLDER_THAN, Operator.NEWER_THAN, Operator.WITHIN_NEXT, Operator.ANNIVERSARY}
_EQUAL = {Operator.EQ, Operator.NE, Operator.IN, Operator.NOT_IN}
_OPERATORS = {
    Kind.TEXT: _EQUAL | _ORDERED | _SEARCH | _RELATIVE,
    Kind.INTEGER: _EQUAL | _ORDERED,
    Kind.NUMBER: _EQUAL | _ORDERED,
    Kind.BOOLEAN: _EQUAL,
    Kind.MOMENT: _ORDERED | _RELATIVE,  # to be equal to the microsecond is never what was meant
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
Text = Annotated[StrictStr, Field(min_length=1), BeforeValidator(_scalar)]


def not_empty(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("is empty: at least one is needed")
    return values


Values = Annotated[tuple[Value, ...], Field(max_length=10_000), AfterValidator(not_empty)]
Texts = Annotated[tuple[Text, ...], Field(max_length=100), AfterValidator(not_empty)]


class Comparison(Spelled):
    """Something compared with exactly one operator, such as `gte: 50` or `in: [DE, AT]`."""

    eq: Value | None = None
    ne: Value | None = None
    gt: Value | None = None
    gte: Value | None = None
    lt: Value | None = None
    lte: Value | None = None
    in_: Values | None = Field(None, alias="in")
    not_in: Values | None = None
    between: tuple[Value, Value] | None = None
    contains: Text | None = None
    contains_any: Texts | None = None
    starts: Text | None = None
    ends: Text | None = None
    older_than: Duration | None = None
    newer_than: Duration | None = None
    within_next: Duration | None = None
    anniversary: Yearly | None = None
    is_set: StrictBool | None = None
    ignore_case: StrictBool = False

    @model_validator(mode="after")
    def _has_one_operator(self) -> Self:
        found = [operator for operator in Operator if self._given(operator) is not None]
        if len(found) != 1:
            raise ValueError(f"{', '.join(found) or 'no operator'}: exactly one is needed of {', '.join(Operator)}")
        (operator,) = found
        if self.ignore_case and operator not in (_EQUAL | _SEARCH):
            raise ValueError(f"ignore_case goes with {', '.join(sorted(_EQUAL | _SEARCH))}, not with {operator}")
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
        if self.operator in _RELATIVE:
            return Kind.TEXT
        kinds = {_kind_of(value) for value in (self.value if isinstance(self.value, tuple) else (self.value,))}
        if len(kinds) > 1:
            raise ValueError(f"{self.operator}: the values are of several types: {', '.join(sorted(kinds))}")
        return kinds.pop()

    def says(self) -> str:
        """The comparison in words, such as `is one of DE, AT`."""
        if self.operator is Operator.IS_SET:
            return "is set" if self.value else "is not set"
        value: Any = self.value
        between = " and " if self.operator is Operator.BETWEEN else ", "
        text = between.join(_say(item) for item in value) if isinstance(value, tuple) else _say(value)
        text = text if len(text) <= 60 else text[:60] + "..."
        return f"{WORDS[self.operator]} {text}{' (in any case)' if self.ignore_case else ''}"

    def holds(self, subject: sa.ColumnElement[Any], kind: Kind, scope: Scope) -> sa.ColumnElement[bool]:
        """The comparison of `subject`, which is of `kind`, in SQL; ValueError if the value does not fit."""
        if self.operator is Operator.IS_SET:
            return subject.is_not(None) if self.value else subject.is_(None)
        value = self.fitted(kind, scope.zone)
        if self.operator in _RELATIVE:
            relative = of_moment if kind is Kind.MOMENT else of_text
            return relative(subject, self.operator, value, scope.as_of, scope.zone)
        if self.ignore_case:
            values = value if isinstance(value, list) else [value]
            subject = folded(subject, values)
            value = [fold(one) for one in values] if isinstance(value, list) else fold(value)
        return compare(subject, kind, self.operator, value)

    def fitted(self, kind: Kind, zone: ZoneInfo) -> Any:
        """The value as something of `kind` is compared with it; ValueError if it does not fit."""
        if self.operator not in _OPERATORS[kind]:
            fits = ", ".join(sorted(_OPERATORS[kind] | {Operator.IS_SET}))
            raise ValueError(f"{self.operator} does not go with {kind}; possible: {fits}")
        if self.ignore_case and kind is not Kind.TEXT:
            raise ValueError(f"ignore_case does not go with {kind}, only with text")
        if self.operator in _RELATIVE:
            return self.value
        if self.operator is Operator.BETWEEN:
            return _ends(self.value, kind, zone)
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
        case Operator.BETWEEN:
            return subject.between(*value)
        case Operator.CONTAINS:
            return sa.func.strpos(subject, value) > 0
        case Operator.CONTAINS_ANY:
            return sa.or_(*(sa.func.strpos(subject, one) > 0 for one in value))
        case Operator.STARTS:
            return sa.func.starts_with(subject, value)
        case Operator.ENDS:
            return Bytewise(sa.func.right(subject, len(value))) == value
        case _:
            raise ValueError(f"{operator} compares with no value")


def _ends(value: tuple[Scalar, Scalar], kind: Kind, zone: ZoneInfo) -> list[Any]:
    """The two ends of `between`, as one type; a date that ends a time's range stands for its last microsecond."""
    fitted: list[Any] = [_fit(one, kind, zone) for one in value]
    if kind is Kind.MOMENT:
        fitted[1] = last_moment(str(value[1]), zone)
    if _has_fraction(fitted):
        fitted = [_fit(one, Kind.NUMBER, zone) for one in value]
    if (lower := fitted[0]) > (upper := fitted[1]):
        raise ValueError(f"between: {_say(value[0])} is more than {_say(value[1])}; write the lower one first")
    return [lower, upper]


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


def _say(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
