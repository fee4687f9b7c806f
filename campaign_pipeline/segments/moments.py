"""Time in segments: durations, dates and windows, always worked out in Python and never by the database."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator

LONGEST = timedelta(days=36_525)
YEARS = range(1900, 2201)

_DURATION = re.compile(r"([1-9]\d{0,5})([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def before(as_of: datetime, duration: str, zone: ZoneInfo) -> datetime:
    """The moment `duration` before `as_of`, in UTC.

    Days and weeks are calendar days in `zone`: 1d before noon is noon, also on the day the clock changes.
    Hours are hours.
    """
    length = _length(duration)
    if duration.endswith("h"):
        return as_of.astimezone(UTC) - length
    return (as_of.astimezone(zone) - length).astimezone(UTC)


def moment(text: str, zone: ZoneInfo) -> datetime:
    """An ISO date (its first moment) or time, in `zone` unless it has a zone of its own, in UTC; else ValueError."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an ISO date or time such as 2026-03-02 or 2026-03-02T09:00") from None
    if read.year not in YEARS:
        raise ValueError(f"{text!r} is not between {YEARS.start} and {YEARS.stop - 1}")
    return (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)


def iso(value: object) -> object:
    """YAML reads an unquoted date as a date: back to the text that was written."""
    return value.isoformat() if isinstance(value, date) else value


def zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a time zone such as Europe/Berlin") from None
    return name


def _length(duration: str) -> timedelta:
    found = _DURATION.fullmatch(duration)
    length = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < length <= LONGEST:
        raise ValueError("is not a duration of at most 100 years such as 12h, 90d or 2w")
    return length


def _duration(text: str) -> str:
    _length(text)
    return text


def _moment(text: str) -> str:
    moment(text, ZoneInfo("UTC"))
    return text


Zone = Annotated[str, AfterValidator(zone)]
Duration = Annotated[str, AfterValidator(_duration)]
Moment = Annotated[str, BeforeValidator(iso), AfterValidator(_moment)]
