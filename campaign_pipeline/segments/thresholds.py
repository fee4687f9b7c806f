"""Thresholds on what is counted or added up: `gte: 2`, `lt: 100`."""

from decimal import Decimal
from operator import eq, ge, gt, le, lt
from typing import Annotated, Any, Self

import sqlalchemy as sa
from pydantic import AfterValidator, StrictFloat, StrictInt, model_validator

from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.segments.operators import WORDS, Operator

_TESTS = {Operator.GTE: ge, Operator.LTE: le, Operator.EQ: eq, Operator.GT: gt, Operator.LT: lt}


def _exact(value: float) -> float:
    number = Decimal(str(value))
    if not number.is_finite() or abs(number) >= 10**18 or number != round(number, 6):
        raise ValueError("must be less than 10^18, with at most six decimals")
    return value


Number = Annotated[StrictInt | StrictFloat, AfterValidator(_exact)]


class Threshold(Definition):
    """Exactly one of gte, lte, eq, gt, lt."""

    gte: Number | None = None
    lte: Number | None = None
    eq: Number | None = None
    gt: Number | None = None
    lt: Number | None = None

    @model_validator(mode="after")
    def _has_one_operator(self) -> Self:
        found = [operator for operator in _TESTS if getattr(self, operator) is not None]
        if len(found) != 1:
            raise ValueError(f"{', '.join(found) or 'no operator'}: exactly one is needed of {', '.join(_TESTS)}")
        return self

    @property
    def operator(self) -> Operator:
        return next(operator for operator in _TESTS if getattr(self, operator) is not None)

    @property
    def bound(self) -> Decimal:
        return Decimal(str(getattr(self, self.operator)))

    @property
    def holds_for_zero(self) -> bool:
        return bool(_TESTS[self.operator](Decimal(0), self.bound))

    def sql(self, measure: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        is_whole = self.bound == int(self.bound)
        return _TESTS[self.operator](measure, int(self.bound) if is_whole else self.bound)

    def says(self) -> str:
        words = "exactly" if self.operator is Operator.EQ else WORDS[self.operator]
        return f"{words} {getattr(self, self.operator)}"


class Count(Threshold):
    """A threshold on a number of events."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not 0 <= self.bound <= 10**9 or self.bound != int(self.bound):
            raise ValueError(f"{self.bound}: a count is a whole number from 0 to a billion")
        return self
