"""What every leaf can do."""

from abc import abstractmethod

import sqlalchemy as sa

from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.segments.scope import Scope


class Leaf(Definition):
    @abstractmethod
    def says(self) -> str:
        """The leaf in words, for previews."""

    @abstractmethod
    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        """The leaf as a condition on a row of `scope.contacts`; NULL counts as false.

        InvalidInput (an unknown name) or ValueError (a value that does not fit) where the catalogue forbids it.
        """
