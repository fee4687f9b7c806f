"""Local time: when a clock on the wall of a time zone shows a time, across the changes of its offset.

Where clocks go forward, a time that they leave out has no moment: it counts as the moment of the change. Where they
go back, a time has two. Zones are those of Python's zoneinfo, so that every answer comes from one database.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)


@lru_cache(maxsize=2_000)
def zone_info(zone: str) -> ZoneInfo:
    """Python's own cache keeps eight zones only."""
    return ZoneInfo(zone)


@lru_cache(maxsize=100_000)
def clock_change(zone: str, day: date) -> datetime | None:
    """The moment in the UTC day `day` at which the zone's offset changes, to the second; None if it does not."""
    there = zone_info(zone)
    before = datetime.combine(day, time(), UTC)
    after = before + DAY
    offset = before.astimezone(there).utcoffset()
    if after.astimezone(there).utcoffset() == offset:
        return None
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(there).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def moments(zone: str, day: date, at: time) -> tuple[datetime, ...]:
    """When it is `at` on the local `day`, in UTC and in order: one moment, or two where clocks are put back."""
    there = zone_info(zone)
    wall = datetime.combine(day, at)
    first, second = (wall.replace(tzinfo=there, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return (first,)
    if first < second:
        return first, second
    changes = (clock_change(zone, second.date()), clock_change(zone, first.date()))
    return (next(change for change in changes if change and second <= change <= first),)  # clocks left it out


@lru_cache(maxsize=10_000)
def first_at(zone: str, at: time, not_before: datetime) -> datetime:
    """The first moment, not before `not_before` (UTC), at which it is `at` in the zone."""
    today = not_before.astimezone(zone_info(zone)).date()
    days = (today + DAY * offset for offset in range(-1, 4))  # a zone that changes its day has left out a whole one
    return next(moment for day in days for moment in moments(zone, day, at) if moment >= not_before)


def distinct_clocks(zones: Sequence[str], since: datetime, length: timedelta = 400 * DAY) -> tuple[str, ...]:
    """The first of `zones` for each clock: those that show the same as an earlier one from `since` on are left out."""
    found: dict[tuple[object, ...], str] = {}
    for zone in zones:
        found.setdefault(_clock(zone, since.astimezone(UTC).date(), length.days), zone)
    return tuple(found.values())


@lru_cache(maxsize=10_000)
def _clock(zone: str, since: date, days: int) -> tuple[object, ...]:
    """What tells the zone's clock from others: its offset, and its changes with the offsets after them."""
    there = zone_info(zone)
    changes = [change for day in range(days) if (change := clock_change(zone, since + DAY * day))]
    moments = [datetime.combine(since, time(), UTC), *changes]
    return tuple((moment, moment.astimezone(there).utcoffset()) for moment in moments)
