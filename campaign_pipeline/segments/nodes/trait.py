"""`trait: {field: country, in: [DE, AT]}`: a field of the contact."""

from typing import Any

import sqlalchemy as sa

from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.operators import Comparison
from campaign_pipeline.segments.scope import Scope


class Trait(Comparison, Leaf):
    field: str

    def says(self) -> str:
        return f"{self.field} {super().says()}"

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        kind = scope.catalogue.field(self.field)
        return self.holds(scope.contacts.c[self.field], kind, scope)

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """The field's value, under its name."""
        scope.catalogue.field(self.field)
        return {self.field: scope.contacts.c[self.field]}
