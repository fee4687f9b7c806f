"""`metric: {name: ltv, percentile: {gte: 80}}`: a declared metric, in itself or among everybody's."""

from typing import Any, Self

import sqlalchemy as sa
from pydantic import StrictBool, model_validator

from campaign_pipeline.segments.dialect import Millionths, Rounded
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.nodes.metric import Metric
from campaign_pipeline.segments.scope import Scope
from campaign_pipeline.segments.thresholds import Threshold

TESTS = (*Threshold.model_fields, "percentile", "is_set")


class Percentile(Threshold):
    """A threshold on a percentage, from 0 to 100."""

    @model_validator(mode="after")
    def _is_a_percentage(self) -> Self:
        for _, bound in self.tests:
            if not 0 <= bound <= 100:
                raise ValueError(f"{bound}: a percentile is a number from 0 to 100")
        return self

    def sql_of_ranks(self, ranks: sa.CTE) -> sa.ColumnElement[bool]:
        """The threshold on `100 * lower / others`, in whole numbers: a quotient of two is not exact."""
        lower = ranks.c.lower * 100 * 10**6
        return sa.and_(*(test(lower, int(bound * 10**6) * ranks.c.others) for test, bound in self.tests))


class Measured(Threshold, Leaf):
    """The metric's value, or its percentile: of the other contacts who have it, the percentage with a lower value.

    Equal values have equal percentiles; the lowest has 0, and so has the only one there is; the highest has 100 if
    nobody shares it. A contact without the metric matches `is_set: false` only. All contacts are compared, wherever
    in a segment the node stands.
    """

    name: str
    percentile: Percentile | None = None
    is_set: StrictBool | None = None

    @model_validator(mode="after")
    def _has_one_operator(self) -> Self:
        found = [name for name in TESTS if getattr(self, name) is not None]
        if len(found) != 1:
            raise ValueError(f"{', '.join(found) or 'no test'}: exactly one is needed of {', '.join(TESTS)}")
        return self

    def says(self) -> str:
        if self.percentile:
            return f"{self.name} has a percentile of {self.percentile.says()}"
        if self.is_set is not None:
            return f"{self.name} is {'' if self.is_set else 'not '}set"
        return f"{self.name} is {super().says()}"

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        if self.percentile:
            ranks = self._metric(scope).ranks(scope)
            return scope.actor.in_(sa.select(ranks.c.actor).where(self.percentile.sql_of_ranks(ranks)))
        values = self._metric(scope).values(scope)
        who = sa.select(values.c.actor)
        if self.is_set is None:
            return scope.actor.in_(who.where(self.sql(values.c.value)))
        return scope.actor.in_(who) if self.is_set else scope.actor.not_in(who)

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """The metric's value under its name, and its percentile, rounded to six decimals, if that is asked for."""
        if not self.percentile:
            values = self._metric(scope).values(scope)
            return {self.name: of_contact(scope, values, values.c.value)}
        ranks = self._metric(scope).ranks(scope)
        percentile = Rounded(Millionths(ranks.c.lower) * 100, ranks.c.others)
        return {
            self.name: of_contact(scope, ranks, ranks.c.value),
            f"percentile of {self.name}": of_contact(scope, ranks, percentile),
        }

    def _metric(self, scope: Scope) -> Metric:
        return scope.metrics[self.name]


def of_contact(scope: Scope, found: sa.CTE, value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """`value` in the row of `found` for one contact, as an expression on a row of `scope.contacts`."""
    own = sa.select(value).where(found.c.actor == scope.actor)
    return own.correlate(scope.contacts).scalar_subquery()
