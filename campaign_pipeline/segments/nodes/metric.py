"""Metrics: what contacts did as one number each, declared by name, and compared in itself or with everybody's.

metrics:
  ltv: {event: purchase, sum: amount, within: 365d}
where:
  metric: {name: ltv, percentile: {gte: 80}}
"""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Literal, Self

import sqlalchemy as sa
from pydantic import model_validator

from campaign_pipeline.segments.dialect import (
    EXACT,
    Microseconds,
    Millionths,
    Rounded,
    WholeQuotient,
)
from campaign_pipeline.segments.moments import Duration, length
from campaign_pipeline.segments.nodes.events import EventFilter
from campaign_pipeline.segments.nodes.window import Window, inside
from campaign_pipeline.segments.scope import Scope

EPOCH, DAY = datetime(1970, 1, 1, tzinfo=UTC), timedelta(days=1)

MEASURES = ("count", "sum", "avg", "min", "max", "recency", "frequency")


class Metric(EventFilter, Window):
    """One number for each contact who has an event in the window that passes `where`; nobody else has the metric.

    Exactly one of: `count: events`; `sum`, `avg`, `min`, `max`: of a number property, for contacts who have one;
    `recency: days`: whole days of 24 hours since the last event; `frequency: 30d`: events per 30 days of `within`.
    All are exact to six decimals; an average and a frequency are rounded to them, halves away from zero.
    """

    count: Literal["events"] | None = None
    sum: str | None = None
    avg: str | None = None
    min: str | None = None
    max: str | None = None
    recency: Literal["days"] | None = None
    frequency: Duration | None = None

    @model_validator(mode="after")
    def _has_one_measure(self) -> Self:
        found = [name for name in MEASURES if getattr(self, name) is not None]
        if len(found) != 1:
            raise ValueError(f"{', '.join(found) or 'no measure'}: exactly one is needed of {', '.join(MEASURES)}")
        if self.frequency and (self.within is None or self.since or self.until):
            raise ValueError("frequency needs within, and goes with neither since nor until")
        return self

    def values(self, scope: Scope) -> sa.CTE:
        """actor (see Scope.actor), value: of every contact who has the metric."""
        actor = scope.events.c.contact_id
        value, has_value = self._value(scope)  # here, so that names are checked wherever the metric stands
        exact = sa.cast(value, EXACT)  # a whole number would make DuckDB take a bound such as 0.5 for one
        query = sa.select(actor.label("actor"), exact.label("value")).where(*counted(self, self, scope)).group_by(actor)
        return scope.once("metric", self.model_dump_json(), query if has_value is None else query.having(has_value))

    def ranks(self, scope: Scope) -> sa.CTE:
        """actor, value; `lower`: how many contacts have a lower value; `others`: how many others, at least 1."""
        values = self.values(scope).c
        lower = (sa.func.rank().over(order_by=values.value) - 1).label("lower")
        others = sa.func.greatest(sa.func.count().over() - 1, 1).label("others")
        query = sa.select(values.actor, values.value, lower, others)
        return scope.once("ranks", self.model_dump_json(), query)

    def _value(self, scope: Scope) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[bool] | None]:
        """The measure over the events of one contact, and the condition of there being one."""
        count = sa.func.count()
        if self.recency:
            last = Microseconds(sa.func.max(scope.events.c.occurred_at))
            return WholeQuotient(_whole(_microseconds(scope.as_of - EPOCH)) - last, _whole(_microseconds(DAY))), None
        if self.frequency and self.within:
            share = Fraction(_microseconds(length(self.frequency)), _microseconds(length(self.within)))
            return Rounded(Millionths(count) * _whole(share.numerator), _whole(share.denominator)), None
        for name in ("sum", "avg", "min", "max"):
            if prop := getattr(self, name):
                found = self.number(prop, scope)
                average = Rounded(sa.func.sum(Millionths(found)), sa.func.count(found))
                return average if name == "avg" else getattr(sa.func, name)(found), sa.func.count(found) > 0
        return count, None


def counted(events: EventFilter, window: Window, scope: Scope) -> list[sa.ColumnElement[bool]]:
    """The conditions of a row of `scope.events` being in the window, and of a contact.

    All contacts are looked at, also where only some of them are asked for: everyone is compared with everybody.
    """
    everyone = scope.contacts.alias("everyone")
    is_contact = scope.events.c.contact_id.in_(sa.select(everyone.c[scope.actor.name]))
    return [*events.matching(scope), *inside(scope.events.c.occurred_at, window.window(scope)), is_contact]


def _microseconds(time: timedelta) -> int:
    return time // timedelta(microseconds=1)


def _whole(number: int) -> sa.ColumnElement[int]:
    return sa.literal(number, sa.BigInteger())
