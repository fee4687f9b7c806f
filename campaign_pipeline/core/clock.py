"""One clock for the product: always UTC, always aware, shiftable for rehearsals and tests."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the current time, aware, in UTC."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def shifted(seconds: float) -> Clock:
    """A clock that runs as fast as the real one, `seconds` ahead of it (or behind, if negative)."""
    offset = timedelta(seconds=seconds)
    return lambda: datetime.now(UTC) + offset


def as_utc(moment: datetime) -> datetime:
    """The same moment in UTC; a naive one is taken to be UTC (SQLite returns naive times)."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
