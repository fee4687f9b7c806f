"""`sequence: {steps: [cart_add, order_completed], within: 3d}`: one event, then another."""

from functools import reduce
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import BeforeValidator, Field

from campaign_pipeline.segments.dialect import Microseconds
from campaign_pipeline.segments.moments import Duration, length
from campaign_pipeline.segments.nodes.events import EventFilter
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.nodes.window import Period, inside
from campaign_pipeline.segments.scope import Scope


def _event(value: object) -> object:
    return {"event": value} if isinstance(value, str) else value


Step = Annotated[EventFilter, BeforeValidator(_event, json_schema_input_type=str | EventFilter)]


class Sequence(Period, Leaf):
    """A chain of two to five events, each of its step, each at a later time than the one before (not at the same).

    Other events in between do not matter. The whole chain lies in the window (from `since` until before the earlier
    of `until` and as_of), and from its first to its last event takes `within` at most: elapsed time, a day is 24 hours.

    One pass finds every chain: of all chains that end at an event the one that starts last is the shortest, and it
    extends the one that starts last at an earlier event of the step before.
    """

    steps: tuple[Step, ...] = Field(min_length=2, max_length=5)
    within: Duration | None = None

    def says(self) -> str:
        steps = ", then ".join(" ".join(["did " + step.event, *step.where_says()]) for step in self.steps)
        return " ".join([steps] + ([f"within {self.within}"] if self.within else []) + self.window_says())

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        return scope.actor.in_(sa.select(self._chains(scope, sa.true()).c.contact_id))

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """`start` and `end` of the chain that ends last; NULL if there is none."""
        chains = self._chains(scope, scope.events.c.contact_id == scope.actor).c
        # Who ends later has not started earlier, so both are of the same chain.
        return {
            label: sa.select(sa.func.max(time)).scalar_subquery()
            for label, time in (("start", chains.start), ("end", chains.time))
        }

    def _chains(self, scope: Scope, whose: sa.ColumnElement[bool]) -> sa.Subquery:
        """contact_id, start, time: of each event that ends a chain, and the latest start of one."""
        events = scope.events.c
        is_step = [sa.and_(*step.matching(scope)) for step in self.steps]
        found = (
            sa.select(
                events.contact_id,
                events.occurred_at.label("time"),
                events.occurred_at.label("start"),
                *(sa.case((matches, sa.true())).label(f"step_{n}") for n, matches in enumerate(is_step)),
            )
            .where(sa.or_(*is_step), *inside(events.occurred_at, self.window(scope)), whose)
            .correlate(scope.contacts)
        )
        return reduce(self._extend, range(1, len(self.steps)), found.subquery("step_0"))

    def _extend(self, chains: sa.Subquery, step: int) -> sa.Subquery:
        """From the latest start of the chains before each event to what this step makes of them.

        `start` of an event is that of the chains of `step` steps which end before it; only events remain that end or
        extend one in time, for later steps would make it only longer.
        """
        steps = [f"step_{n}" for n in range(step, len(self.steps))]
        earlier = sa.func.max(sa.case((chains.c[f"step_{step - 1}"], chains.c.start))).over(
            partition_by=chains.c.contact_id, order_by=chains.c.time, groups=(None, -1)
        )
        started = sa.select(
            chains.c.contact_id, chains.c.time, earlier.label("start"), *(chains.c[name] for name in steps)
        ).subquery(f"started_{step}")
        remains = [started.c.start.is_not(None), sa.or_(*(started.c[name] for name in steps))]
        if self.within:
            most = length(self.within) // length(self.within).resolution
            remains.append(Microseconds(started.c.time) - Microseconds(started.c.start) <= most)
        return sa.select(*started.c).where(*remains).subquery(f"step_{step}")
