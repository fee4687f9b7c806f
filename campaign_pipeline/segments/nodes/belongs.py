"""`list: vips` and `tag: newsletter`: contacts on a hand-picked list, or with a tag, as the snapshot has them."""

from typing import Annotated, Any, ClassVar

import sqlalchemy as sa
from pydantic import BeforeValidator

from campaign_pipeline.segments.dialect import HasItem
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.nodes.names import Names, any_of
from campaign_pipeline.segments.scope import Scope


class Belongs(Leaf):
    """On any of the lists, or with any of the tags. A name that no contact has is an error."""

    kind: ClassVar[str]
    words: ClassVar[str]

    any: Names

    def says(self) -> str:
        return f"{self.words} {any_of(self.any)}"

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        return sa.or_(*(HasItem(scope.contacts.c[scope.catalogue.group(self.kind, name)], name) for name in self.any))

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """All lists, or tags, of the contact."""
        column = scope.catalogue.group(self.kind, self.any[0])
        return {column: scope.contacts.c[column]}


class OnList(Belongs):
    kind = "list"
    words = "on list"


class Tagged(Belongs):
    kind = "tag"
    words = "tagged"


def _any(value: Any) -> Any:
    return {"any": value} if isinstance(value, str | list | tuple) else value


ListNames = Annotated[OnList, BeforeValidator(_any, json_schema_input_type=Names | OnList)]
TagNames = Annotated[Tagged, BeforeValidator(_any, json_schema_input_type=Names | Tagged)]
