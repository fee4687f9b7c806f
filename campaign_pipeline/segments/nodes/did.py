"""`did: {event: purchase, count: {gte: 2}, within: 90d}`: what the contact did, how often and how much."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import Field

from campaign_pipeline.segments.catalogue import Kind
from campaign_pipeline.segments.dialect import (
    EXACT,
    JsonBoolean,
    JsonExact,
    JsonIsSet,
    JsonNumber,
    JsonText,
    json_arguments,
)
from campaign_pipeline.segments.moments import Duration, Moment, before, moment
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.operators import Comparison, Operator, compare
from campaign_pipeline.segments.scope import Scope
from campaign_pipeline.segments.thresholds import Count, Threshold

_READ = {Kind.TEXT: JsonText, Kind.NUMBER: JsonNumber, Kind.BOOLEAN: JsonBoolean}


class PropertyFilter(Comparison):
    """`{prop: amount, gte: 50}`: only events whose property compares so. A value of another type is as if not set."""

    prop: str

    def says(self) -> str:
        return f"{self.prop} {super().says()}"


class Sum(Threshold):
    """`{prop: amount, gte: 100}`: the property's total, exact to six decimals; not a number counts as 0."""

    prop: str


class Did(Leaf):
    """The events named `event` in the window that pass all of `where`: how many, and what they add up to.

    Both thresholds must hold; without `count` at least one event is needed. A contact without such events has
    count 0 and sum 0, so `count: {lte: 2}` holds for them. The window is half-open: from the latest of `since` and
    `within` before as_of, until the earlier of `until` and as_of, which is itself outside.
    """

    event: str
    count: Count = Count(gte=1)
    sum: Sum | None = None
    within: Duration | None = None
    since: Moment | None = None
    until: Moment | None = None
    where: tuple[PropertyFilter, ...] = Field((), max_length=50)

    def says(self) -> str:
        words = [f"did {self.event}"]
        if self.count != Count(gte=1):
            words.append(f"{self.count.says()} times")
        if self.sum:
            words.append(f"with a total {self.sum.prop} {self.sum.says()}")
        words += [f"within {self.within}"] if self.within else []
        words += [f"since {self.since}"] if self.since else []
        words += [f"until {self.until}"] if self.until else []
        if self.where:
            words.append("where " + " and ".join(one.says() for one in self.where))
        return " ".join(words)

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        events = scope.events.c
        who = sa.select(events.contact_id).where(*self._matching(scope))
        if self.sum is None and self.count == Count(gte=1):
            return scope.contact_id.in_(who)
        holds = self.count.sql(sa.func.count())
        if self.sum:
            holds = sa.and_(holds, self.sum.sql(self._total(self.sum, scope)))
        who = who.group_by(events.contact_id)
        if self.count.holds_for_zero and (self.sum is None or self.sum.holds_for_zero):
            # Whoever has no event is not in the subquery, but belongs to the result: ask for the others.
            return sa.not_(sa.func.coalesce(scope.contact_id.in_(who.having(sa.not_(holds))), sa.false()))
        return scope.contact_id.in_(who.having(holds))

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """Of the events that count: `count`, the total if one is asked for, and the `first` and `last` time."""
        events = scope.events.c
        values = {"count": sa.func.count()}
        values |= {f"sum of {self.sum.prop}": self._total(self.sum, scope)} if self.sum else {}
        values |= {"first": sa.func.min(events.occurred_at), "last": sa.func.max(events.occurred_at)}
        own = (events.contact_id == scope.contact_id, *self._matching(scope))
        return {
            label: sa.select(value).where(*own).correlate(scope.contacts).scalar_subquery()
            for label, value in values.items()
        }

    def _matching(self, scope: Scope) -> list[sa.ColumnElement[bool]]:
        """What an event must be to count; NULL leaves it out, as false does."""
        events = scope.events.c
        start, end = self._window(scope)
        scope.catalogue.event(self.event)
        matching = [events.event == self.event, events.occurred_at < end]
        if start is not None:
            matching.append(events.occurred_at >= start)
        return matching + [self._passes(one, scope) for one in self.where]

    def _window(self, scope: Scope) -> tuple[datetime | None, datetime]:
        starts = [moment(self.since, scope.zone)] if self.since else []
        starts += [before(scope.as_of, self.within, scope.zone)] if self.within else []
        end = min(moment(self.until, scope.zone), scope.as_of) if self.until else scope.as_of
        if self.since and self.until and moment(self.since, scope.zone) >= moment(self.until, scope.zone):
            raise ValueError(f"since {self.since} is not before until {self.until}")
        return max(starts, default=None), end

    def _passes(self, one: PropertyFilter, scope: Scope) -> sa.ColumnElement[bool]:
        kinds = scope.catalogue.property(self.event, one.prop)
        arguments = json_arguments(scope.events.c.properties, one.prop)
        if one.operator is Operator.IS_SET:
            is_set = JsonIsSet(*arguments)
            return is_set if one.value else sa.not_(is_set)
        try:
            kind = one.kind if one.kind in kinds else min(kinds, default=one.kind)
            value = one.fitted(kind, scope.zone)
        except ValueError as error:
            raise ValueError(f"property {one.prop!r}: {error}") from None
        return compare(_READ[kind](*arguments), kind, one.operator, value)

    def _total(self, total: Sum, scope: Scope) -> sa.ColumnElement[Any]:
        kinds = scope.catalogue.property(self.event, total.prop)
        if Kind.NUMBER not in kinds:
            raise ValueError(f"property {total.prop!r} of {self.event} is {', '.join(sorted(kinds))}, not a number")
        exact = JsonExact(*json_arguments(scope.events.c.properties, total.prop))
        return sa.func.coalesce(sa.func.sum(exact), sa.literal(0, EXACT))
