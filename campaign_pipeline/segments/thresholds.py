"""Thresholds on what is counted or added up: `gte: 2`, `lt: 100`."""

from collections.abc import Callable
from decimal import Decimal
from operator import eq, ge, gt, le, lt
from typing import Annotated, Any, Self

import sqlalchemy as sa
from pydantic import AfterValidator, StrictFloat, StrictInt, model_validator

from campaign_pipeline.segments.dialect import EXACT
from campaign_pipeline.segments.operators import WORDS, Operator
from campaign_pipeline.segments.spelling import Spelled

_TESTS = {Operator.GTE: ge, Operator.LTE: le, Operator.EQ: eq, Operator.GT: gt, Operator.LT: lt}
_OPERATORS = [*_TESTS, Operator.BETWEEN]


def _exact(value: float) -> float:
    number = Decimal(str(value))
    if not number.is_finite() or abs(number) >= 10**18 or number != round(number, 6):
        raise ValueError("must be less than 10^18, with at most six decimals")
    return value


Number = Annotated[StrictInt | StrictFloat, AfterValidator(_exact)]


class Threshold(Spelled):
    """Exactly one of gte, lte, eq, gt, lt, and between (both ends included)."""

    gte: Number | None = None
    lte: Number | None = None
    eq: Number | None = None
    gt: Number | None = None
    lt: Number | None = None
    between: tuple[Number, Number] | None = None

    @model_validator(mode="after")
    def _has_one_operator(self) -> Self:
        found = [operator for operator in _OPERATORS if getattr(self, operator) is not None]
        if len(found) != 1:
            raise ValueError(f"{', '.join(found) or 'no operator'}: exactly one is needed of {', '.join(_OPERATORS)}")
        if self.between and self.between[0] > self.between[1]:
            raise ValueError(f"between: {self.between[0]} is more than {self.between[1]}; write the lower one first")
        return self

    @property
    def operator(self) -> Operator:
        return next(operator for operator in _OPERATORS if getattr(self, operator) is not None)

    @property
    def tests(self) -> list[tuple[Callable[[Any, Any], Any], Decimal]]:
        """The comparisons that must hold, each with its bound."""
        if self.between:
            low, high = self.between
            return [(ge, Decimal(str(low))), (le, Decimal(str(high)))]
        return [(_TESTS[self.operator], Decimal(str(getattr(self, self.operator))))]

    @property
    def holds_for_zero(self) -> bool:
        return all(test(Decimal(0), bound) for test, bound in self.tests)

    def sql(self, measure: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        return sa.and_(*(test(measure, _bound(bound)) for test, bound in self.tests))

    def sql_of_average(self, number: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """The threshold on the average of `number`, which is EXACT, over a group; NULL if it has none.

        An average is at least b when the differences from b add up to at least 0: a sum is exact, a quotient is not.
        """
        return sa.and_(*(test(sa.func.sum(number - sa.literal(bound, EXACT)), 0) for test, bound in self.tests))

    def says(self) -> str:
        if self.between:
            return f"between {self.between[0]} and {self.between[1]}"
        words = "exactly" if self.operator is Operator.EQ else WORDS[self.operator]
        return f"{words} {getattr(self, self.operator)}"


class Count(Threshold):
    """A threshold on a number of events."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for _, bound in self.tests:
            if not 0 <= bound <= 10**9 or bound != int(bound):
                raise ValueError(f"{bound}: a count is a whole number from 0 to a billion")
        return self


def _bound(bound: Decimal) -> int | Decimal:
    return int(bound) if bound == int(bound) else bound
