"""`limit: {n: 50000, order_by: ltv desc}`: the first contacts in an order, of those whom all else leaves."""

from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import AfterValidator, Field, StrictInt

from campaign_pipeline.segments.catalogue import Kind
from campaign_pipeline.segments.dialect import Bytewise
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.scope import Scope


def _order(text: str) -> str:
    name = text.removesuffix(" asc").removesuffix(" desc")
    if not name or name != name.strip():
        raise ValueError("must be the name of a field or a metric, such as created_at or ltv desc")
    return text


class Limit(Leaf):
    """At most `n`, in the order of a field or a metric: lowest first, or highest first if `desc` follows its name.

    Who has no value comes last, and among equals the lower contact id first. Without `order_by`: by contact id, which
    is as good as drawn.
    """

    n: Annotated[StrictInt, Field(ge=1, le=10**9)]
    order_by: Annotated[str, AfterValidator(_order)] | None = None

    def says(self) -> str:
        return f"the first {self.n:,} by {self.order_by or 'contact_id'}"

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        first = scope.once("limit", f"{scope.segment} {self.model_dump_json()}", self._first(scope))
        return scope.contact_id.in_(sa.select(first.c.contact_id))

    def _first(self, scope: Scope) -> sa.Select[Any]:
        query = sa.select(scope.contact_id).where(scope.kept())
        if self.order_by is None:
            return query.order_by(scope.contact_id).limit(self.n)
        name = self.order_by.removesuffix(" asc").removesuffix(" desc")
        if name in scope.metrics:
            if name in scope.catalogue.fields:
                raise ValueError(f"{name} is a field as well as a metric; give the metric another name")
            values = scope.metrics[name].values(scope)
            query = query.outerjoin(values, values.c.actor == scope.actor)
            value: sa.ColumnElement[Any] = values.c.value
        else:
            kind = scope.catalogue.field(name)
            value = Bytewise(scope.contacts.c[name]) if kind is Kind.TEXT else scope.contacts.c[name]
        order = value.desc() if self.order_by.endswith(" desc") else value.asc()
        return query.order_by(order.nulls_last(), scope.contact_id).limit(self.n)
