"""Where contacts and behaviour come from: files and databases, all as one kind of table."""

from pathlib import Path
from typing import Protocol

from campaign_pipeline.contacts.sources.files import SourceFile
from campaign_pipeline.contacts.sources.table import Table


class Source(Protocol):
    """Something with rows."""

    @property
    def name(self) -> str:
        """What it is called in the record of imports: no secret."""
        ...

    @property
    def ordered(self) -> bool:
        """Whether reading it again gives the rows in the same order."""
        ...

    def content(self) -> str:
        """A digest of what it holds: equal content is the same import."""
        ...

    def settings(self) -> tuple[str, ...]:
        """How it is read, where that may give other rows."""
        ...

    def read(self) -> Table: ...


def as_source(given: "Path | Source") -> Source:
    """A path is a file that is what its name says."""
    return SourceFile(given) if isinstance(given, Path) else given
