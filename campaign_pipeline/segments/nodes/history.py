"""When an event was done for the first or last time, and who stopped or started again."""

from datetime import datetime
from typing import Any, Literal, Self

import sqlalchemy as sa
from pydantic import Field, model_validator

from campaign_pipeline.segments.moments import Duration, before
from campaign_pipeline.segments.nodes.events import EventFilter, of_contact
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.nodes.window import Window, inside
from campaign_pipeline.segments.scope import Scope


class _OneTime(EventFilter, Window, Leaf):
    """A window that holds one distinguished moment of the contact's matching events before as_of."""

    @model_validator(mode="after")
    def _has_a_window(self) -> Self:
        if not (self.within or self.since or self.until):
            raise ValueError("needs a window: within, since or until; without one use did")
        return self

    def _when(self, scope: Scope, pick: Any) -> sa.ColumnElement[bool]:
        return _who(scope, self._all(scope), inside(pick(scope.events.c.occurred_at), self.window(scope)))

    def _all(self, scope: Scope) -> list[sa.ColumnElement[bool]]:
        return [*self.matching(scope), scope.events.c.occurred_at < scope.as_of]

    def _words(self, which: str) -> str:
        return " ".join([f"did {self.event} for the {which} time", *self.window_says(), *self.where_says()])


class FirstDid(_OneTime):
    """`first_did: {event: purchase, within: 30d}`: the first event that passes `where`, of all times, is in the window.

    The window is as for `did`.
    """

    def says(self) -> str:
        return self._words("first")

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        known = _known(scope, self, "first", self.window(scope))
        return self._when(scope, sa.func.min) if known is None else known

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """`first`: the time of the first such event."""
        return {"first": of_contact(scope, sa.func.min(scope.events.c.occurred_at), self._all(scope))}


class LastDid(_OneTime):
    """`last_did: {event: visit, until: 30d ago}`: the last event that passes `where`, before as_of, is in the window.

    The window is as for `did`.
    """

    def says(self) -> str:
        return self._words("last")

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        known = _known(scope, self, "last", self.window(scope))
        return self._when(scope, sa.func.max) if known is None else known

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """`last`: the time of the last such event."""
        return {"last": of_contact(scope, sa.func.max(scope.events.c.occurred_at), self._all(scope))}


class Stopped(EventFilter, Leaf):
    """`stopped: {event: visit, for: 30d, within: 90d}`: no such event for 30 days, but one before, within 90 days.

    None from `for` before as_of, at least one from `within` before as_of (without `within`: ever) until then.
    """

    for_: Duration = Field(alias="for")
    within: Duration | None = None

    def says(self) -> str:
        active = [f"active within {self.within}"] if self.within else []
        return " ".join([f"stopped {self.event} for {self.for_}", *active, *self.where_says()])

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        stop = before(scope.as_of, self.for_, scope.zone)
        start = before(scope.as_of, self.within, scope.zone) if self.within else None
        if start and start >= stop:
            raise ValueError(f"within {self.within} is not longer than for {self.for_}")
        known = _known(scope, self, "last", (start, stop))
        if known is not None:
            return known
        last = sa.func.max(scope.events.c.occurred_at)
        return _who(scope, self._all(scope), inside(last, (start, stop)))

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """`last`: the time of the last such event."""
        return {"last": of_contact(scope, sa.func.max(scope.events.c.occurred_at), self._all(scope))}

    def _all(self, scope: Scope) -> list[sa.ColumnElement[bool]]:
        return [*self.matching(scope), scope.events.c.occurred_at < scope.as_of]


class Restarted(EventFilter, Leaf):
    """`restarted: {event: visit, within: 7d, after_gap: 60d}`: such an event again, after 60 days without one.

    At least one from `within` before as_of, none in the `after_gap` before that, at least one before the gap.
    """

    within: Duration
    after_gap: Duration

    def says(self) -> str:
        words = f"did {self.event} again within {self.within} after {self.after_gap} without"
        return " ".join([words, *self.where_says()])

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        gap, again = self._gap(scope)
        time = scope.events.c.occurred_at
        last_before = sa.func.max(time).filter(time < again)
        return _who(scope, self._all(scope), [last_before < gap, sa.func.max(time) >= again])

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """`last before`: the last such event before the window; `again`: the first one in it."""
        _, again = self._gap(scope)
        time = scope.events.c.occurred_at
        return {
            "last before": of_contact(scope, sa.func.max(time).filter(time < again), self._all(scope)),
            "again": of_contact(scope, sa.func.min(time).filter(time >= again), self._all(scope)),
        }

    def _gap(self, scope: Scope) -> tuple[datetime, datetime]:
        again = before(scope.as_of, self.within, scope.zone)
        return before(again, self.after_gap, scope.zone), again

    def _all(self, scope: Scope) -> list[sa.ColumnElement[bool]]:
        return [*self.matching(scope), scope.events.c.occurred_at < scope.as_of]


def _known(
    scope: Scope, events: EventFilter, which: Literal["first", "last"], window: tuple[datetime | None, datetime]
) -> sa.ColumnElement[bool] | None:
    """The first or last of the events being in `window`, if features know it."""
    if scope.features is None or events.where:
        return None
    return scope.features.time_in(events.event, which, window, scope.as_of)


def _who(
    scope: Scope, events: list[sa.ColumnElement[bool]], having: list[sa.ColumnElement[bool]]
) -> sa.ColumnElement[bool]:
    """The contacts whose `events` meet `having` together."""
    contact_id = scope.events.c.contact_id
    return scope.actor.in_(sa.select(contact_id).where(*events).group_by(contact_id).having(sa.and_(*having)))
