"""Windows on events: half-open, from a start, if there is one, until before an end, at the latest as_of."""

from datetime import datetime

import sqlalchemy as sa

from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.segments.moments import Duration, Past, before, past
from campaign_pipeline.segments.scope import Scope


class Period(Definition):
    """From `since` until before `until`: each a date, a time, or a moment that moves with as_of, such as `30d ago`."""

    since: Past | None = None
    until: Past | None = None

    def window(self, scope: Scope) -> tuple[datetime | None, datetime]:
        """Start (None: there is none) and end in UTC; ValueError if `since` is not before `until`."""
        start = past(self.since, scope.as_of, scope.zone) if self.since else None
        end = past(self.until, scope.as_of, scope.zone) if self.until else scope.as_of
        if start and self.until and start >= end:
            raise ValueError(f"since {self.since} is not before until {self.until}")
        return start, min(end, scope.as_of)

    def window_says(self) -> list[str]:
        return [f"{name} {text}" for name in ("since", "until") if (text := getattr(self, name))]


class Window(Period):
    """A period that also starts no earlier than `within` before as_of."""

    within: Duration | None = None

    def window(self, scope: Scope) -> tuple[datetime | None, datetime]:
        start, end = super().window(scope)
        starts = [start] if start else []
        starts += [before(scope.as_of, self.within, scope.zone)] if self.within else []
        return max(starts, default=None), end

    def window_says(self) -> list[str]:
        return ([f"within {self.within}"] if self.within else []) + super().window_says()


def inside(time: sa.ColumnElement[datetime], window: tuple[datetime | None, datetime]) -> list[sa.ColumnElement[bool]]:
    """The conditions of `time` being in `window`."""
    start, end = window
    return [time < end] if start is None else [time >= start, time < end]
