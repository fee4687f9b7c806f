"""What each contact did, as columns beside the contact: how often, when first, and the last few times, by event name.

Times are whole seconds since shortly before the first event, so that a comparison with one is fast; 0 is never. A
question is answered from here only where the answer is exact, else not at all:

- the window ends after the last event of the name, so that nothing known lies behind it;
- it starts on a whole second: cutting off fractions of seconds then changes no comparison;
- it is about at most DEPTH events, or about all that ever happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import eq, ge, gt, le, lt
from typing import Any, Literal

import sqlalchemy as sa

from campaign_pipeline.segments.thresholds import Count

NUMBER = "contact:no"
"""The column with a contact's number; the colon keeps it apart from any attribute's name."""

DEPTH = 8
"""The last so many times of each event are kept."""

NEVER = 0
LATEST = 2**32 - 1
"""The times that fit: 136 years."""


def count_column(number: int) -> str:
    """Events of the name with this number; the colon keeps it apart from any attribute's name."""
    return f"did:{number}:count"


def first_column(number: int) -> str:
    return f"did:{number}:first"


def last_column(number: int, back: int) -> str:
    """The time of the last event (`back` 1), of the one before it (2) ..."""
    return f"did:{number}:last{back}"


def columns(number: int) -> list[str]:
    """All columns of the event with this number, in order."""
    backs = (last_column(number, back) for back in range(1, DEPTH + 1))
    return [count_column(number), first_column(number), *backs]


_BOUNDS = {ge: [(0, True)], gt: [(1, True)], le: [(1, False)], lt: [(0, False)], eq: [(0, True), (1, False)]}
"""A test of a count with b, as being or not being at least b or b + 1."""


@dataclass(frozen=True)
class Features:
    """`contacts`: the table with the columns. `start`: the whole second that counts as 0. `events`: number and latest
    time of each event name that has columns."""

    contacts: sa.Table
    start: datetime
    events: Mapping[str, tuple[int, datetime]]

    def counted(self, event: str, count: Count, start: datetime | None, end: datetime) -> sa.ColumnElement[bool] | None:
        """Whether `count` holds for the events named `event` from `start` (None: ever) until before `end`."""
        parts: list[sa.ColumnElement[bool]] = []
        for test, bound in count.tests:
            for above, wanted in _BOUNDS[test]:
                reached = self.at_least(event, int(bound) + above, start, end)
                if reached is None:
                    return None
                parts.append(reached if wanted else sa.not_(reached))
        return sa.and_(*parts)

    def at_least(self, event: str, times: int, start: datetime | None, end: datetime) -> sa.ColumnElement[bool] | None:
        """Whether there are at least so many events named `event` from `start` (None: ever) until before `end`."""
        if not self._covers(event, end):
            return None
        number, _ = self.events[event]
        since = NEVER if start is None else self._seconds(start)
        if since is None:
            return None
        if times <= 0:
            return sa.true()
        if since <= NEVER:
            return self._column(count_column(number)) >= times
        return self._column(last_column(number, times)) >= since if times <= DEPTH else None

    def time_in(
        self, event: str, which: Literal["first", "last"], window: tuple[datetime | None, datetime], as_of: datetime
    ) -> sa.ColumnElement[bool] | None:
        """Whether the first or last event named `event` before `as_of` is in the half-open window."""
        start, end = window
        if not self._covers(event, as_of):
            return None
        number, latest = self.events[event]
        column = self._column(first_column(number) if which == "first" else last_column(number, 1))
        since = NEVER if start is None else self._seconds(start)
        until = None if end > latest else self._seconds(end)
        if since is None or (until is None and end <= latest):
            return None
        within = [column >= max(since, NEVER + 1)] + ([] if until is None else [column < max(until, NEVER)])
        return sa.and_(*within)

    def _covers(self, event: str, end: datetime) -> bool:
        return event in self.events and self.events[event][1] < end

    def _seconds(self, moment: datetime) -> int | None:
        """`moment` as it is in the columns; None if it is within a second."""
        since = moment - self.start
        return min(since // timedelta(seconds=1), LATEST) if not moment.microsecond else None

    def _column(self, name: str) -> sa.ColumnElement[Any]:
        return self.contacts.c[name]
