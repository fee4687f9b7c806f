"""Comparisons with as_of: `older_than: 30d`, `newer_than: 30d`, `within_next: 7d` and `anniversary: today`.

A moment is compared to the microsecond: `newer_than: 7d` is from 7 days before as_of, until before as_of;
`within_next: 7d` from as_of, until before 7 days later; `older_than: 7d` before what `newer_than` begins with.

A text is compared by its date, the first ten characters of `2026-03-02` or `2026-03-02T09:00:00Z` (years from 1000) as
they are written, in whole days: `newer_than: 7d` is from 7 days before today (as_of's date in the time zone of the
segment) up to and with today, `within_next: 7d` the seven days from today, `older_than: 7d` more than 7 days ago. A
text that is no such date matches none of them.

An anniversary is the same month and day of a later year; that of 29 February is 28 February in common years.
`anniversary: {within_next: 7d}` is one on the seven days from today, whether or not they cross into the next year. Of a
moment its date in the segment's time zone counts, in years from 1900.
"""

from calendar import isleap
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import AfterValidator, BeforeValidator

from campaign_pipeline.segments.dialect import Bytewise, Matches
from campaign_pipeline.segments.moments import YEARS, Duration, after, before, whole_days
from campaign_pipeline.segments.spelling import Spelled

_MONTH_AND_DAY = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_LEAP_YEAR = "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)"
_TIME = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
DATE = f"^(?:(?:[1-9][0-9]{{3}}-{_MONTH_AND_DAY}|{_LEAP_YEAR}-02-29)(?:{_TIME})?)$"
"""A date that exists, alone or with a time; means the same to PostgreSQL and to RE2."""


def _whole_days(duration: str) -> str:
    if whole_days(duration) > 366:
        raise ValueError(f"{duration}: at most 366d: a year ahead has every anniversary")
    return duration


class Anniversary(Spelled):
    within_next: Annotated[Duration, AfterValidator(_whole_days)]

    def __str__(self) -> str:
        return "today" if self.within_next == "1d" else f"within the next {self.within_next}"


def _today(value: object) -> object:
    return {"within_next": "1d"} if value == "today" else value


Yearly = Annotated[Anniversary, BeforeValidator(_today, json_schema_input_type=Literal["today"] | Anniversary)]


def of_moment(
    subject: sa.ColumnElement[Any], operator: str, value: Duration | Anniversary, as_of: datetime, zone: ZoneInfo
) -> sa.ColumnElement[bool]:
    """`subject`, a time, compared with as_of."""
    if isinstance(value, Anniversary):
        days = [
            sa.and_(subject >= _midnight(start, zone), subject < _midnight(end, zone))
            for first, last in _days_ahead(value, as_of, zone)
            for start, end in _same_days(first, last)
        ]
        return sa.or_(sa.false(), *days)
    start = before(as_of, value, zone)
    if operator == "older_than":
        return subject < start
    if operator == "newer_than":
        return sa.and_(subject >= start, subject < as_of)
    return sa.and_(subject >= as_of, subject < after(as_of, value, zone))


def of_text(
    subject: sa.ColumnElement[Any], operator: str, value: Duration | Anniversary, as_of: datetime, zone: ZoneInfo
) -> sa.ColumnElement[bool]:
    """`subject`, a text, compared with the day of as_of."""
    day = Bytewise(sa.func.left(subject, 10))
    return sa.and_(Matches(subject, sa.literal(DATE, sa.Text())), _day(day, operator, value, as_of, zone))


def _day(
    day: sa.ColumnElement[str], operator: str, value: Duration | Anniversary, as_of: datetime, zone: ZoneInfo
) -> sa.ColumnElement[bool]:
    if isinstance(value, Anniversary):
        month_and_day = Bytewise(sa.func.substr(day, 6, 5))
        return sa.or_(
            *(
                sa.and_(
                    day < date(first.year, 1, 1).isoformat(),
                    month_and_day >= first.isoformat()[5:],
                    month_and_day <= ("02-29" if _ends_february(last) else last.isoformat()[5:]),
                )
                for first, last in _days_ahead(value, as_of, zone)
            )
        )
    today, days = as_of.astimezone(zone).date(), timedelta(days=whole_days(value))
    if operator == "older_than":
        return day < (today - days).isoformat()
    if operator == "newer_than":
        return day.between((today - days).isoformat(), today.isoformat())
    return sa.and_(day >= today.isoformat(), day < (today + days).isoformat())


def _days_ahead(value: Anniversary, as_of: datetime, zone: ZoneInfo) -> Iterator[tuple[date, date]]:
    """The first and the last day of the window, in each year that it touches."""
    first = as_of.astimezone(zone).date()
    last = first + timedelta(days=whole_days(value.within_next) - 1)
    for year in range(first.year, last.year + 1):
        yield max(first, date(year, 1, 1)), min(last, date(year, 12, 31))


def _ends_february(last: date) -> bool:
    """Whether who was born on 29 February has the anniversary on this 28th."""
    return (last.month, last.day) == (2, 28) and not isleap(last.year)


def _same_days(first: date, last: date) -> Iterator[tuple[date, date]]:
    """The days of earlier years, from a start until before an end, whose anniversary is from `first` to `last`."""
    end = last + timedelta(days=1)
    for year in range(YEARS.start, first.year):
        yield _in_year(first, year), _in_year(end, year + end.year - first.year)


def _in_year(day: date, year: int) -> date:
    return date(year, 3, 1) if (day.month, day.day) == (2, 29) and not isleap(year) else day.replace(year=year)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
