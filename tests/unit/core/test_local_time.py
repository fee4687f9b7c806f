"""Local times as moments, where clocks jump and where they do not."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaign_pipeline.core.local_time import clock_change, distinct_clocks, first_at, moments

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Africa/Casablanca",  # clocks go back for Ramadan
    "Africa/Cairo",  # at midnight
    "Atlantic/Azores",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Pacific/Apia",  # left out a whole day in 2011
]
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_time_is_one_moment_on_an_ordinary_day() -> None:
    assert moments("Europe/Berlin", date(2026, 7, 1), time(10)) == (utc("2026-07-01T08:00"),)
    assert moments("Asia/Kathmandu", date(2026, 7, 1), time(10)) == (utc("2026-07-01T04:15"),)


def test_a_time_that_clocks_leave_out_is_the_moment_of_the_change() -> None:
    """On 29 March 2026 Berlin has no 02:30, on 8 March New York has none: the clocks go to 03:00."""
    assert moments("Europe/Berlin", date(2026, 3, 29), time(2, 30)) == (utc("2026-03-29T01:00"),)
    assert moments("America/New_York", date(2026, 3, 8), time(2, 30)) == (utc("2026-03-08T07:00"),)
    assert moments("Africa/Cairo", date(2026, 4, 24), time(0, 0)) == (utc("2026-04-23T22:00"),)
    assert moments("Pacific/Apia", date(2011, 12, 30), time(12)) == (utc("2011-12-30T10:00"),)


def test_a_time_that_clocks_repeat_has_two_moments() -> None:
    assert moments("Europe/Berlin", date(2026, 10, 25), time(2, 30)) == (
        utc("2026-10-25T00:30"),
        utc("2026-10-25T01:30"),
    )
    assert moments("Australia/Lord_Howe", date(2026, 4, 5), time(1, 45)) == (
        utc("2026-04-04T14:45"),
        utc("2026-04-04T15:15"),
    )


def test_when_clocks_change() -> None:
    assert clock_change("America/New_York", date(2026, 3, 8)) == utc("2026-03-08T07:00")
    assert clock_change("America/New_York", date(2026, 3, 9)) is None
    assert clock_change("UTC", date(2026, 3, 8)) is None


@pytest.mark.parametrize(
    ("zone", "at", "not_before", "expected"),
    [
        ("Europe/Berlin", time(10), "2026-03-02T08:59", "2026-03-02T09:00"),
        ("Europe/Berlin", time(10), "2026-03-02T09:00", "2026-03-02T09:00"),  # "at or after"
        ("Europe/Berlin", time(10), "2026-03-02T09:00:01", "2026-03-03T09:00"),
        ("America/Los_Angeles", time(10), "2026-03-02T09:00", "2026-03-02T18:00"),
        ("Pacific/Kiritimati", time(10), "2026-03-02T09:00", "2026-03-02T20:00"),  # already tomorrow there
        ("Europe/Berlin", time(10), "2026-03-28T09:01", "2026-03-29T08:00"),  # a day of 23 hours between
        ("Europe/Berlin", time(2, 30), "2026-03-28T12:00", "2026-03-29T01:00"),  # left out: right after
        ("Europe/Berlin", time(2, 30), "2026-10-24T12:00", "2026-10-25T00:30"),  # the first of the two
        ("Europe/Berlin", time(2, 30), "2026-10-25T00:31", "2026-10-25T01:30"),  # it is 02:30 once more
    ],
)
def test_the_first_local_time_at_or_after_a_moment(zone: str, at: time, not_before: str, expected: str) -> None:
    assert first_at(zone, at, utc(not_before)) == utc(expected)


@settings(max_examples=300, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    at=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    not_before=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
@example(zone="Europe/Berlin", at=time(2, 30), not_before=utc("2026-03-29T00:59"))
@example(zone="Europe/Berlin", at=time(2, 0), not_before=utc("2026-10-25T00:59"))
@example(zone="Africa/Cairo", at=time(0, 0), not_before=utc("2026-04-23T21:00"))
def test_the_first_local_time_is_what_a_clock_watched_by_the_minute_shows(
    zone: str, at: time, not_before: datetime
) -> None:
    found = first_at(zone, at, not_before)
    assert found >= not_before
    local = ZoneInfo(zone)
    minute = not_before.replace(second=0, microsecond=0)
    if minute < not_before:
        minute += MINUTE
    while True:
        now, before = minute.astimezone(local).time(), (minute - MINUTE).astimezone(local)
        jumped = (before + MINUTE).time() <= at < now  # the wall time that would have come next was left out
        if now == at or (jumped and (before + MINUTE).time() != now):
            break
        minute += MINUTE
    assert found == minute


def test_zones_with_the_same_clock_count_once() -> None:
    since = utc("2026-03-02T09:00")
    assert distinct_clocks(["Europe/London", "Europe/Guernsey", "Europe/Jersey"], since) == ("Europe/London",)
    assert distinct_clocks(["America/New_York", "America/Detroit", "America/Chicago"], since) == (
        "America/New_York",
        "America/Chicago",
    )
    assert distinct_clocks(["America/Denver", "America/Phoenix"], since) == ("America/Denver", "America/Phoenix")
