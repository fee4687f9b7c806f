"""Time in segments: durations, dates and windows, always worked out in Python and never by the database."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

LONGEST = timedelta(days=36_525)
YEARS = range(1900, 2201)
AGO = " ago"

_DURATION = re.compile(r"([1-9]\d{0,5})([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def before(as_of: datetime, duration: str, zone: ZoneInfo) -> datetime:
    """The moment `duration` before `as_of`, in UTC.

    Days and weeks are calendar days in `zone`: 1d before noon is noon, also on the day the clock changes.
    Hours are hours.
    """
    return _shifted(as_of, -length(duration), duration, zone)


def after(as_of: datetime, duration: str, zone: ZoneInfo) -> datetime:
    """The moment `duration` after `as_of`, in UTC, by the rules of `before`."""
    return _shifted(as_of, length(duration), duration, zone)


def past(text: str, as_of: datetime, zone: ZoneInfo) -> datetime:
    """`30d ago`, or what `moment` reads, in UTC."""
    duration = text.removesuffix(AGO)
    return moment(text, zone) if duration == text else before(as_of, duration, zone)


def whole_days(duration: str) -> int:
    """The days of a duration in days or weeks; ValueError for hours."""
    if duration.endswith("h"):
        raise ValueError(f"{duration}: hours do not go with dates; use days or weeks, such as 7d or 2w")
    return length(duration).days


def moment(text: str, zone: ZoneInfo) -> datetime:
    """An ISO date (its first moment) or time, in `zone` unless it has a zone of its own, in UTC; else ValueError."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an ISO date or time such as 2026-03-02 or 2026-03-02T09:00") from None
    if read.year not in YEARS:
        raise ValueError(f"{text!r} is not between {YEARS.start} and {YEARS.stop - 1}")
    return (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)


def last_moment(text: str, zone: ZoneInfo) -> datetime:
    """As `moment`, but of a date its last microsecond."""
    try:
        next_day = date.fromisoformat(text) + timedelta(days=1)
    except (ValueError, OverflowError):
        return moment(text, zone)
    return moment(next_day.isoformat(), zone) - timedelta.resolution


def iso(value: object) -> object:
    """YAML reads an unquoted date as a date: back to the text that was written."""
    return value.isoformat() if isinstance(value, date) else value


def zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a time zone such as Europe/Berlin") from None
    return name


def length(duration: str) -> timedelta:
    """The duration by the clock: a day is 24 hours."""
    found = _DURATION.fullmatch(duration)
    found_length = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < found_length <= LONGEST:
        raise ValueError("is not a duration of at most 100 years such as 12h, 90d or 2w")
    return found_length


def _shifted(as_of: datetime, by: timedelta, duration: str, zone: ZoneInfo) -> datetime:
    if duration.endswith("h"):
        return as_of.astimezone(UTC) + by
    return (as_of.astimezone(zone) + by).astimezone(UTC)


def _duration(text: str) -> str:
    length(text)
    return text


def _past(text: str) -> str:
    duration = text.removesuffix(AGO)
    return _moment(text) if duration == text else _duration(duration) + AGO


def _moment(text: str) -> str:
    moment(text, ZoneInfo("UTC"))
    return text


Zone = Annotated[str, AfterValidator(zone)]
Duration = Annotated[str, AfterValidator(_duration), Field(json_schema_extra={"pattern": f"^{_DURATION.pattern}$"})]
Moment = Annotated[str, BeforeValidator(iso), AfterValidator(_moment)]
Past = Annotated[str, BeforeValidator(iso), AfterValidator(_past)]
"""A moment, or one that moves with as_of: `30d ago`."""
