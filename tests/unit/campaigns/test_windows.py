"""Windows of quiet hours: what they allow, when they open next, and their text, which says all of it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaign_pipeline.campaigns.windows import (
    ANY_TIME,
    LONGEST_WAIT,
    MIDNIGHT,
    Week,
    Window,
    allowed_at,
    common_hours,
    next_allowed,
    read_week,
    read_window,
    spell_week,
)
from campaign_pipeline.core.errors import Inconsistent

MINUTE = timedelta(minutes=1)
TEXAS = "Mo-Sa 09:00-21:00 Su 12:00-21:00 @ America/Chicago America/Denver"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "allowed"),
    [
        ("2026-03-02T15:59:59", False),  # a Monday: 09:59 in Chicago, 08:59 in Denver
        ("2026-03-02T16:00:00", True),  # 10:00 and 09:00
        ("2026-03-03T02:59:59", True),  # 20:59 in Chicago
        ("2026-03-03T03:00:00", False),  # 21:00 in Chicago, though 20:00 in Denver
        ("2026-03-01T18:59:59", False),  # a Sunday: 11:59 in Denver
        ("2026-03-01T19:00:00", True),
    ],
)
def test_it_must_be_allowed_in_every_zone(moment: str, allowed: bool) -> None:
    assert allowed_at(TEXAS, utc(moment)) is allowed


@pytest.mark.parametrize(
    ("window", "moment", "opens"),
    [
        (TEXAS, "2026-03-02T16:00:07", "2026-03-02T16:00:07"),
        (TEXAS, "2026-03-03T03:00:00", "2026-03-03T16:00:00"),
        (TEXAS, "2026-03-07T12:00:00", "2026-03-07T16:00:00"),
        (TEXAS, "2026-03-08T03:00:00", "2026-03-08T18:00:00"),  # the clocks went forward on that Sunday
        ("Mo-Sa 08:00-20:00 @ Europe/Paris", "2026-03-28T19:30:00", "2026-03-30T06:00:00"),  # Saturday evening
        ("Mo-Sa 08:00-20:00 off 2026-07-14 @ Europe/Paris", "2026-07-13T18:00:00", "2026-07-15T06:00:00"),
        # 02:30 does not exist on that day, and it is open from the moment at which clocks show 03:00
        ("Mo-Su 02:30-04:00 @ America/New_York", "2026-03-08T06:00:00", "2026-03-08T07:00:00"),
        # 01:30 comes twice: closed again when clocks go back to 01:00, and open again half an hour later
        ("Mo-Su 01:30-02:00 @ America/New_York", "2026-11-01T06:00:00", "2026-11-01T06:30:00"),
        # 00:00 to 01:30: clocks that go back from 02:00 to 01:00 open it for a second time
        ("Mo-Su 00:00-01:30 @ America/New_York", "2026-11-01T05:40:00", "2026-11-01T06:00:00"),
        # from 10:00 in Honolulu, which is 15:00 in New York, to 18:00 there
        ("Mo-Fr 10:00-18:00 @ America/New_York Pacific/Honolulu", "2026-03-02T09:00:00", "2026-03-02T20:00:00"),
    ],
)
def test_when_it_opens_next(window: str, moment: str, opens: str) -> None:
    assert next_allowed(window, utc(moment)) == utc(opens)


def test_a_window_that_never_opens_has_no_next_moment() -> None:
    assert next_allowed("@ Europe/Paris", utc("2026-03-02T09:00")) is None
    apart = "Mo-Su 09:00-12:00 @ Europe/Paris Pacific/Auckland"
    assert next_allowed(apart, utc("2026-03-02T09:00")) is None
    assert not allowed_at(apart, utc("2026-03-02T09:00"))


def test_the_empty_window_allows_any_time() -> None:
    moment = datetime(2026, 3, 2, 3, tzinfo=ZoneInfo("Europe/Berlin"))
    assert allowed_at(ANY_TIME, moment)
    assert next_allowed(ANY_TIME, moment) == utc("2026-03-02T02:00")


ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "America/Phoenix",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/St_Johns",
    "Pacific/Chatham",
]
CHANGES = [  # days on which clocks change in some of these zones
    date(2026, 3, 8),
    date(2026, 3, 29),
    date(2026, 4, 5),
    date(2026, 4, 24),
    date(2026, 9, 27),
    date(2026, 10, 4),
    date(2026, 10, 25),
    date(2026, 10, 30),
    date(2026, 11, 1),
]
hours = st.one_of(
    st.none(),
    st.tuples(st.integers(0, MIDNIGHT), st.integers(0, MIDNIGHT)).filter(lambda span: span[0] < span[1]),
    st.tuples(st.integers(0, 180), st.integers(0, 240)).filter(lambda span: span[0] < span[1]),  # where clocks change
)
weeks = st.one_of(st.tuples(*[hours] * 7), hours.map(lambda each: (each,) * 7))
days = st.sampled_from(CHANGES).flatmap(lambda day: st.integers(-2, 2).map(lambda near: day + timedelta(days=near)))
windows = st.builds(
    Window,
    weeks,
    st.frozensets(days, max_size=3),
    st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True).map(tuple),
)
near_changes = st.builds(
    lambda day, minutes, seconds: (
        datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minutes, seconds=seconds)
    ),
    st.sampled_from(CHANGES),
    st.integers(-1440, 1440),
    st.sampled_from([0, 0, 1, 59]),
)


def by_the_minute(window: Window, moment: datetime) -> bool:
    """Whether it is allowed, straight from what clocks in the zones show."""
    for zone in window.zones:
        local = moment.astimezone(ZoneInfo(zone))
        span = window.week[local.weekday()]
        if span is None or local.date() in window.off:
            return False
        if not span[0] <= local.hour * 60 + local.minute < span[1]:
            return False
    return True


@settings(max_examples=250, deadline=None)
@given(window=windows, moment=near_changes)
@example(window=Window(((0, 90),) * 7, frozenset(), ("America/New_York",)), moment=utc("2026-11-01T05:40:30"))
@example(window=Window(((150, 240),) * 7, frozenset(), ("Europe/Berlin",)), moment=utc("2026-03-29T00:59:59"))
def test_the_next_allowed_moment_is_the_one_that_watching_the_clocks_finds(window: Window, moment: datetime) -> None:
    key = window.key()
    found = next_allowed(key, moment)
    assert allowed_at(key, moment) == by_the_minute(window, moment)
    if by_the_minute(window, moment):
        assert found == moment
        return
    minute = moment.replace(second=0) + MINUTE
    end = moment + timedelta(days=3)
    while minute < end and not by_the_minute(window, minute):
        minute += MINUTE
    if minute < end:
        assert found == minute
    else:
        assert found is None or (found >= end and by_the_minute(window, found))


@given(window=windows)
def test_the_text_says_all_of_the_window(window: Window) -> None:
    assert read_window(window.key()) == window


@given(window=windows, moment=near_changes)
@settings(max_examples=60, deadline=None)
def test_an_opening_is_allowed_and_never_before_the_question(window: Window, moment: datetime) -> None:
    found = next_allowed(window.key(), moment)
    if found is not None:
        assert moment <= found <= moment + LONGEST_WAIT
        assert allowed_at(window.key(), found)
        assert next_allowed(window.key(), found) == found


@pytest.mark.parametrize(
    "key",
    [
        "Mo-Fr 09:00-18:00",
        "Mo-Fr 09:00-18:00 @ ",
        "Mo-Fr 09:00-18:00 @ Europe/Nowhere",
        "Mo-Xx 09:00-18:00 @ UTC",
        "Fr-Mo 09:00-18:00 @ UTC",
        "09:00-25:00 @ UTC",
        "18:00-09:00 @ UTC",
        "09:60-10:00 @ UTC",
        "09:00-18:00 off tomorrow @ UTC",
        "whenever 09:00-18:00 @ UTC",
        "Mo 09:00-18:00 Mo 10:00-11:00 @ UTC",
    ],
)
def test_what_is_not_a_window_is_refused(key: str) -> None:
    with pytest.raises(Inconsistent, match="is not a window"):
        next_allowed(key, utc("2026-03-02T09:00"))


def test_a_week_is_spelt_with_neighbouring_days_together() -> None:
    week = read_week("Mo-Fr 09:00-18:00 Sa 10:00-17:00")
    assert week == (*((540, 1080),) * 5, (600, 1020), None)
    assert spell_week(week) == "Mo-Fr 09:00-18:00 Sa 10:00-17:00"
    assert spell_week(read_week("08:00-24:00")) == "Mo-Su 08:00-24:00"
    with pytest.raises(ValueError, match="are not hours such as"):
        read_week("in the morning")


@given(st.lists(weeks, max_size=3), st.integers(0, 6), st.integers(0, MIDNIGHT - 1))
def test_common_hours_are_those_that_every_week_allows(given_weeks: list[Week], day: int, minute: int) -> None:
    def allows(week: Week) -> bool:
        span = week[day]
        return span is not None and span[0] <= minute < span[1]

    assert allows(common_hours(given_weeks)) == all(allows(week) for week in given_weeks)
