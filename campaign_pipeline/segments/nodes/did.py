"""`did: {event: purchase, count: {gte: 2}, within: 90d}`: what the contact did, how often and how much."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from campaign_pipeline.segments.dialect import EXACT
from campaign_pipeline.segments.nodes.events import EventFilter, of_contact
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.nodes.window import Window, inside
from campaign_pipeline.segments.scope import Scope
from campaign_pipeline.segments.thresholds import Count, Threshold

_MEASURES = {"sum": "a total", "avg": "an average", "min": "a lowest", "max": "a highest"}


class Measure(Threshold):
    """`{prop: amount, gte: 100}`: a threshold on a number property, read to six decimals."""

    prop: str


class Did(EventFilter, Window, Leaf):
    """The events named `event` in the window that pass all of `where`: how many, and what their numbers come to.

    All thresholds must hold; without `count` at least one event is needed. A contact without such events has count 0
    and sum 0, so `count: {lte: 2}` holds for them. In `sum`, what is not a number counts as 0. `avg`, `min` and `max`
    are of the numbers only, and hold for nobody who has none; all are exact. The window is half-open: from the latest
    of `since` and `within` before as_of, until the earlier of `until` and as_of, which is itself outside.
    """

    count: Count = Count(gte=1)
    sum: Measure | None = None
    avg: Measure | None = None
    min: Measure | None = None
    max: Measure | None = None

    def says(self) -> str:
        words = [f"did {self.event}"]
        if self.count != Count(gte=1):
            words.append(f"{self.count.says()} times")
        measures = [f"{_MEASURES[name]} {measure.prop} {measure.says()}" for name, measure in self._measures()]
        words += ["with " + " and ".join(measures)] if measures else []
        return " ".join([*words, *self.window_says(), *self.where_says()])

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        measured = [self._compare(name, measure, scope) for name, measure in self._measures()]
        if scope.features and not measured and not self.where:
            known = scope.features.counted(self.event, self.count, *self.window(scope))
            if known is not None:
                return known
        who = sa.select(scope.events.c.contact_id).where(*self._counted(scope))
        if not measured and self.count == Count(gte=1):
            return scope.actor.in_(who)
        holds = sa.and_(self.count.sql(sa.func.count()), *measured)
        who = who.group_by(scope.events.c.contact_id)
        if self._holds_for_none():
            # Whoever has no event is not in the subquery, but belongs to the result: ask for the others.
            return sa.not_(sa.func.coalesce(scope.actor.in_(who.having(sa.not_(holds))), sa.false()))
        return scope.actor.in_(who.having(holds))

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """Of the events that count: `count`, what is measured, and the `first` and `last` time."""
        time = scope.events.c.occurred_at
        values: dict[str, sa.ColumnElement[Any]] = {"count": sa.func.count()}
        for name, measure in self._measures():
            values[f"{name} of {measure.prop}"] = getattr(sa.func, name)(self.number(measure.prop, scope))
        values |= {"first": sa.func.min(time), "last": sa.func.max(time)}
        return {label: of_contact(scope, value, self._counted(scope)) for label, value in values.items()}

    def _measures(self) -> Iterator[tuple[str, Measure]]:
        for name in _MEASURES:
            if measure := getattr(self, name):
                yield name, measure

    def _counted(self, scope: Scope) -> list[sa.ColumnElement[bool]]:
        return self.matching(scope) + inside(scope.events.c.occurred_at, self.window(scope))

    def _holds_for_none(self) -> bool:
        """Whether the thresholds hold for a contact without such events."""
        if self.avg or self.min or self.max:
            return False
        return self.count.holds_for_zero and (self.sum is None or self.sum.holds_for_zero)

    def _compare(self, name: str, measure: Measure, scope: Scope) -> sa.ColumnElement[bool]:
        number = self.number(measure.prop, scope)
        if name == "sum":
            return measure.sql(sa.func.coalesce(sa.func.sum(number), sa.literal(0, EXACT)))
        if name == "avg":
            return measure.sql_of_average(number)
        return measure.sql(getattr(sa.func, name)(number))
