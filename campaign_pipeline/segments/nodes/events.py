"""Which events: those of one name whose properties compare as said."""

from typing import Any

import sqlalchemy as sa
from pydantic import Field

from campaign_pipeline.segments.catalogue import Kind
from campaign_pipeline.segments.dialect import JsonBoolean, JsonExact, JsonIsSet, JsonNumber, JsonText, json_arguments
from campaign_pipeline.segments.operators import Comparison, Operator
from campaign_pipeline.segments.scope import Scope
from campaign_pipeline.segments.spelling import Spelled

_READ = {Kind.TEXT: JsonText, Kind.NUMBER: JsonNumber, Kind.BOOLEAN: JsonBoolean}


class PropertyFilter(Comparison):
    """`{prop: amount, gte: 50}`: only events whose property compares so. A value of another type is as if not set."""

    prop: str

    def says(self) -> str:
        return f"{self.prop} {super().says()}"

    def passes(self, event: str, scope: Scope) -> sa.ColumnElement[bool]:
        """The filter on a row of `scope.events`, which is an `event`."""
        kinds = scope.catalogue.property(event, self.prop)
        arguments = json_arguments(scope.events.c.properties, self.prop)
        if self.operator is Operator.IS_SET:
            is_set = JsonIsSet(*arguments)
            return is_set if self.value else sa.not_(is_set)
        try:
            kind = self.kind if self.kind in kinds else min(kinds, default=self.kind)
            return self.holds(_READ.get(kind, JsonText)(*arguments), kind, scope)
        except ValueError as error:
            raise ValueError(f"property {self.prop!r}: {error}") from None


class EventFilter(Spelled):
    """The events named `event` that pass all of `where`."""

    event: str
    where: tuple[PropertyFilter, ...] = Field((), max_length=50)

    def event_says(self) -> str:
        return self.event

    def where_says(self) -> list[str]:
        return ["where " + " and ".join(one.says() for one in self.where)] if self.where else []

    def matching(self, scope: Scope) -> list[sa.ColumnElement[bool]]:
        """The conditions on a row of `scope.events`; NULL leaves it out, as false does."""
        scope.catalogue.event(self.event)
        return [scope.events.c.event == self.event, *(one.passes(self.event, scope) for one in self.where)]

    def number(self, prop: str, scope: Scope) -> sa.ColumnElement[Any]:
        """The property on a row of `scope.events`, as EXACT; NULL where it is no number. ValueError if it never is."""
        kinds = scope.catalogue.property(self.event, prop)
        if Kind.NUMBER not in kinds:
            found = ", ".join(sorted(kinds)) or "never set"
            raise ValueError(f"property {prop!r} of {self.event} is {found}, not a number")
        return JsonExact(*json_arguments(scope.events.c.properties, prop))


def of_contact(
    scope: Scope, value: sa.ColumnElement[Any], conditions: list[sa.ColumnElement[bool]]
) -> sa.ColumnElement[Any]:
    """`value` over the contact's events that meet the conditions, as an expression on a row of `scope.contacts`."""
    own = scope.events.c.contact_id == scope.actor
    return sa.select(value).where(own, *conditions).correlate(scope.contacts).scalar_subquery()
