"""`sample: {percent: 10, seed: spring}`: some of the contacts, the same ones as long as the seed is the same."""

from typing import Annotated

import sqlalchemy as sa
from pydantic import AfterValidator, Field, StrictFloat, StrictInt

from campaign_pipeline.core.hashing import PLACES, fnv1a
from campaign_pipeline.segments.bucket import Bucket
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.scope import Scope


def _places(percent: float) -> int:
    return round(percent * PLACES / 100)


def _share(percent: float) -> float:
    if not 0 < percent <= 100 or abs(_places(percent) - percent * PLACES / 100) > 1e-9:
        raise ValueError("must be more than 0 and at most 100, with at most two decimals")
    return percent


_RANGE = Field(json_schema_extra={"exclusiveMinimum": 0, "maximum": 100})


class Sample(Leaf):
    """Contacts whose place by the assignment hash is in the first `percent` of the unit interval.

    A larger percentage of the same seed contains the smaller one. The hash is of `<seed>:sample`, so that a campaign
    of the same name does not draw its variants by the same places.
    """

    percent: Annotated[StrictInt | StrictFloat, AfterValidator(_share), _RANGE]
    seed: Annotated[str, Field(min_length=1, max_length=100, pattern="^[ -~]*$")]

    @property
    def hash_seed(self) -> str:
        return f"{self.seed}:sample"

    def says(self) -> str:
        return f"a sample of {self.percent}% (seed {self.seed})"

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        return self._place(scope) < _places(self.percent)

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[int]]:
        """The contact's place, from 0 to 9999."""
        return {"place": self._place(scope)}

    def _place(self, scope: Scope) -> sa.ColumnElement[int]:
        return Bucket(scope.contact_id, sa.literal(fnv1a(self.hash_seed), sa.BigInteger()))
