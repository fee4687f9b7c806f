"""`rfm: {event: purchase, amount: amount, recency: {gte: 4}}`: how lately, how often and for how much, from 1 to 5."""

from typing import Any, Self

import sqlalchemy as sa
from pydantic import model_validator

from campaign_pipeline.segments.dialect import EXACT, WholeQuotient
from campaign_pipeline.segments.nodes.events import EventFilter
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.nodes.measured import of_contact
from campaign_pipeline.segments.nodes.metric import counted
from campaign_pipeline.segments.nodes.window import Window
from campaign_pipeline.segments.scope import Scope
from campaign_pipeline.segments.thresholds import Threshold

PARTS = ("recency", "frequency", "monetary")


class Score(Threshold):
    """A threshold on a score, from 1 to 5."""

    @model_validator(mode="after")
    def _is_a_score(self) -> Self:
        for _, bound in self.tests:
            if not 1 <= bound <= 5 or bound != int(bound):
                raise ValueError(f"{bound}: a score is a whole number from 1 to 5")
        return self


class Rfm(EventFilter, Window, Leaf):
    """Scores among all contacts who have such an event: all thresholds must hold. Nobody else has scores, or matches.

    `recency` is by the last event (5: the latest), `frequency` by how many there are, `monetary` by the total of the
    property `amount`, in which what is not a number counts as 0. The score is 1 and, for each fifth of these contacts
    that has less, one more: `1 + floor(5 * lower / all)`. Who has the same has the same score.
    """

    amount: str | None = None
    recency: Score | None = None
    frequency: Score | None = None
    monetary: Score | None = None

    @model_validator(mode="after")
    def _asks_for_a_score(self) -> Self:
        if not any(getattr(self, part) for part in PARTS):
            raise ValueError(f"at least one is needed of {', '.join(PARTS)}")
        if self.monetary and self.amount is None:
            raise ValueError("monetary needs amount, the property that is added up")
        return self

    def says(self) -> str:
        scores = [f"{part} {score.says()}" for part in PARTS if (score := self._score(part))]
        words = [f"scores of {self.event}: {', '.join(scores)}"]
        words += [f"amount {self.amount}"] if self.amount else []
        return " ".join([*words, *self.window_says(), *self.where_says()])

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        scores = self._scores(scope)
        holds = [score.sql(scores.c[part]) for part in PARTS if (score := self._score(part))]
        return scope.actor.in_(sa.select(scores.c.actor).where(*holds))

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """Each score that is asked for."""
        scores = self._scores(scope)
        return {part: of_contact(scope, scores, scores.c[part]) for part in PARTS if self._score(part)}

    def _score(self, part: str) -> Score | None:
        return getattr(self, part)

    def _scores(self, scope: Scope) -> sa.CTE:
        """actor, recency, frequency, monetary (if there is an amount)."""
        events = scope.events.c
        values: dict[str, sa.ColumnElement[Any]] = {
            "recency": sa.func.max(events.occurred_at),
            "frequency": sa.func.count(),
        }
        if self.amount is not None:
            total = sa.func.sum(self.number(self.amount, scope))
            values["monetary"] = sa.func.coalesce(total, sa.literal(0, EXACT))
        columns = [value.label(part) for part, value in values.items()]
        actor = events.contact_id
        query = sa.select(actor.label("actor"), *columns).where(*counted(self, self, scope)).group_by(actor)
        found = query.subquery("found")
        lower = {part: sa.func.rank().over(order_by=found.c[part]) - 1 for part in values}
        everybody = sa.func.count().over()
        scores = [(1 + WholeQuotient(5 * rank, everybody)).label(part) for part, rank in lower.items()]
        text = self.model_dump_json(exclude={*PARTS})
        return scope.once("rfm", text, sa.select(found.c.actor, *scores))
