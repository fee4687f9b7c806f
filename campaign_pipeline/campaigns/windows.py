"""Windows: when a contact may be sent to, as a text that says all of it by itself.

    Mo-Sa 09:00-21:00 Su 12:00-21:00 off 2026-12-25 @ America/Chicago America/Denver

The hours are local ones, from the first minute to the one before the last; days that are not named, and the dates
after `off`, are closed altogether. It is allowed when it is allowed in every zone. Batches are cut by window and keep
it for as long as the run lasts, so it depends on no data that may change meanwhile. The empty text allows any time.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from campaign_pipeline.core.errors import Inconsistent
from campaign_pipeline.core.local_time import DAY, clock_change, moments, zone_info

Hours = tuple[int, int]
"""Minutes after midnight: from the first, to before the second."""

Week = tuple[Hours | None, ...]
"""Seven, from Monday: the hours of each day, None where it is closed."""

LONGEST_WAIT = timedelta(days=31)
"""A window that does not open for so long counts as one that never does."""

ANY_TIME = ""

DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
MIDNIGHT = 24 * 60

_SPAN = re.compile(r"(?:(?P<first>[A-Z][a-z])(?:-(?P<last>[A-Z][a-z]))? )?(?P<opens>\d\d:\d\d)-(?P<closes>\d\d:\d\d)")


@dataclass(frozen=True)
class Window:
    week: Week
    off: frozenset[date]
    zones: tuple[str, ...]

    def key(self) -> str:
        """The window as text; `read_window` reads it back."""
        hours = [spell_week(self.week)] if any(self.week) else []
        off = ["off " + ",".join(sorted(day.isoformat() for day in self.off))] if self.off else []
        return " ".join([*hours, *off, "@", *self.zones])

    def hours_of(self, day: date) -> Hours | None:
        return None if day in self.off else self.week[day.weekday()]

    def allows(self, moment: datetime) -> bool:
        return all(self._allows_in(zone, moment) for zone in self.zones)

    def next(self, moment: datetime) -> datetime | None:
        """The first moment from `moment` on that it allows, in UTC; None if none comes within LONGEST_WAIT."""
        found, last = moment.astimezone(UTC), moment + LONGEST_WAIT
        while found <= last:
            opens = [self._next_in(zone, found) for zone in self.zones]
            if None in opens:
                return None
            latest = max(each for each in opens if each)
            if latest == found:
                return found
            found = latest  # no zone allows any moment before it
        return None

    def _allows_in(self, zone: str, moment: datetime) -> bool:
        local = moment.astimezone(zone_info(zone))
        hours = self.hours_of(local.date())
        return hours is not None and hours[0] <= local.hour * 60 + local.minute < hours[1]

    def _next_in(self, zone: str, moment: datetime) -> datetime | None:
        if self._allows_in(zone, moment):
            return moment
        day = moment.astimezone(zone_info(zone)).date() - DAY
        for _ in range(LONGEST_WAIT.days + 3):
            opens = [each for each in self._openings(zone, day) if each > moment and self._allows_in(zone, each)]
            if opens:
                return min(opens)
            day += DAY
        return None

    def _openings(self, zone: str, day: date) -> Iterable[datetime]:
        """All moments at which the window may open on the local `day`: its hour, or a change of the clocks."""
        if hours := self.hours_of(day):
            yield from moments(zone, day, time(*divmod(hours[0], 60)))
        for near in (day - DAY, day, day + DAY):
            if (change := clock_change(zone, near)) and change.astimezone(zone_info(zone)).date() == day:
                yield change


def allowed_at(window: str, moment: datetime) -> bool:
    """Whether a contact with this window may be sent to at `moment` (aware)."""
    return window == ANY_TIME or read_window(window).allows(moment)


def next_allowed(window: str, moment: datetime) -> datetime | None:
    """The first moment from `moment` (aware) on at which the window allows it, in UTC; None: it never does.

    `moment` itself if it is allowed then; otherwise a full second.
    """
    return moment.astimezone(UTC) if window == ANY_TIME else _next(window, moment.astimezone(UTC))


@lru_cache(maxsize=10_000)
def _next(window: str, moment: datetime) -> datetime | None:
    return read_window(window).next(moment)


@lru_cache(maxsize=10_000)
def read_window(key: str) -> Window:
    """The window that Window.key gives; Inconsistent if it is none."""
    hours, at, zones = key.partition("@ ")
    spans, _, off = hours.strip().partition("off ")
    try:
        if not at or not zones:
            raise ValueError("it names no zone")
        window = Window(
            read_week(spans.strip()) if spans.strip() else (None,) * 7,
            frozenset(date.fromisoformat(day) for day in off.strip().split(",") if day),
            tuple(zones.split(" ")),
        )
        for zone in window.zones:
            zone_info(zone)
    except (ValueError, LookupError, OSError) as error:
        hint = "The batch file was written by another version, or changed: restore it, or cancel the run."
        raise Inconsistent(f"{key[:200]!r} is not a window: {error}", hint) from None
    return window


@lru_cache(maxsize=1_000)
def read_week(text: str) -> Week:
    """`08:00-20:00`, or by days: `Mo-Fr 09:00-18:00 Sa 10:00-17:00`; ValueError says what is wrong."""
    spans, end = list(_SPAN.finditer(text)), 0
    week: list[Hours | None] = [None] * 7
    for span in spans:
        if text[end : span.start()].strip():
            break
        end = span.end()
        for day in _days(span["first"], span["last"]):
            if week[day]:
                raise ValueError(f"{DAYS[day]} is given twice")
            week[day] = _hours(span["opens"], span["closes"])
    if not spans or text[end:].strip():
        raise ValueError("are not hours such as 08:00-20:00, or Mo-Fr 09:00-18:00 Sa 10:00-17:00")
    return tuple(week)


def spell_week(week: Week) -> str:
    """As `read_week` reads it: neighbouring days with the same hours together."""
    spans: list[str] = []
    first = 0
    for day in range(1, 8):
        if day < 7 and week[day] == week[first]:
            continue
        if hours := week[first]:
            named = DAYS[first] if first == day - 1 else f"{DAYS[first]}-{DAYS[day - 1]}"
            spans.append(f"{named} {_clock(hours[0])}-{_clock(hours[1])}")
        first = day
    return " ".join(spans)


def common_hours(weeks: Iterable[Week]) -> Week:
    """What all of `weeks` allow."""

    def both(one: Hours | None, other: Hours | None) -> Hours | None:
        if one is None or other is None:
            return None
        opens, closes = max(one[0], other[0]), min(one[1], other[1])
        return (opens, closes) if opens < closes else None

    common: Week = ((0, MIDNIGHT),) * 7
    for week in weeks:
        common = tuple(both(*pair) for pair in zip(common, week, strict=True))
    return common


def _days(first: str | None, last: str | None) -> range:
    if first is None:
        return range(7)
    for name in (first, last or first):
        if name not in DAYS:
            raise ValueError(f"{name} is none of {', '.join(DAYS)}")
    start, end = DAYS.index(first), DAYS.index(last or first)
    if end < start:
        raise ValueError(f"{first}-{last} goes backwards")
    return range(start, end + 1)


def _hours(opens: str, closes: str) -> Hours:
    start, end = (int(text[:2]) * 60 + int(text[3:]) for text in (opens, closes))
    if not start < end <= MIDNIGHT or int(opens[3:]) > 59 or int(closes[3:]) > 59:
        raise ValueError(f"{opens}-{closes} is not a stretch of one day, from 00:00 to 24:00 at most")
    return start, end


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
