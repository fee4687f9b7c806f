"""What every leaf can do."""

from abc import abstractmethod
from typing import Any

import sqlalchemy as sa

from campaign_pipeline.segments.scope import Scope
from campaign_pipeline.segments.spelling import Spelled


class Leaf(Spelled):
    @abstractmethod
    def says(self) -> str:
        """The leaf in words, for previews."""

    @abstractmethod
    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        """The leaf as a condition on a row of `scope.contacts`; NULL counts as false.

        InvalidInput (an unknown name) or ValueError (a value that does not fit) where the catalogue forbids it.
        """

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """The values that decide the leaf, by label, as expressions on a row of `scope.contacts`.

        They may be scalar subqueries that are correlated to that row: meant for one contact, not for all of them.
        Raises as `condition` does.
        """
        return {}
