"""Arguments that several commands take."""

import getpass
import os
from datetime import UTC, datetime
from typing import Annotated

import typer

from campaign_pipeline.core.errors import InvalidInput

AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="A date or time: 1998-07-01, 2026-03-02T09:00:00+01:00. UTC without a zone."),
]


def moment(text: str | None, now: datetime) -> datetime:
    """The moment that `text` says, in UTC, to the second; `now` if it says nothing."""
    if text is None:
        return now.replace(microsecond=0)
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"--as-of {text!r} is not a time", "Write it as 1998-07-01 or 2026-03-02T09:00:00Z."
        ) from None
    return found.replace(microsecond=0)


def operator() -> str:
    """Who calls, for the record of changes; in a container a user can be without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
