"""`reachable: email`: contacts with a valid address that is not suppressed, and with consent for marketing."""

from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import AfterValidator, BeforeValidator

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel
from campaign_pipeline.segments.catalogue import NEW_SNAPSHOT, Kind
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.nodes.names import any_of, several
from campaign_pipeline.segments.operators import not_empty
from campaign_pipeline.segments.scope import Scope

Channels = Annotated[
    tuple[Channel, ...],
    BeforeValidator(several, json_schema_input_type=Channel | tuple[Channel, ...]),
    AfterValidator(not_empty),
]


class Reachable(Leaf):
    """By any of the channels, as of the snapshot. The freeze of a run looks again, and for the run's own purpose."""

    any: Channels

    def says(self) -> str:
        return f"reachable by {any_of(self.any)}"

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        return sa.or_(*(self._column(channel, scope) for channel in self.any))

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """Whether each of the channels reaches the contact."""
        return {f"reachable_{channel}": self._column(channel, scope) for channel in self.any}

    def _column(self, channel: Channel, scope: Scope) -> sa.ColumnElement[bool]:
        name = f"reachable_{channel}"
        if scope.catalogue.fields.get(name) is not Kind.BOOLEAN:
            raise InvalidInput(f"the contact snapshot does not say who is reachable by {channel}", NEW_SNAPSHOT)
        return scope.contacts.c[name]


def _any(value: Any) -> Any:
    return {"any": value} if isinstance(value, str | list | tuple) else value


ReachableBy = Annotated[Reachable, BeforeValidator(_any, json_schema_input_type=Channels | Reachable)]
