"""When each contact is sent to: local times, quiet hours, deadlines, and the same for many as for one."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign_pipeline.campaigns.quiet_hours import QuietHoursPolicy
from campaign_pipeline.campaigns.send_times import SCHEMA, Timing, send_times
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.campaigns.timetable import Timetable
from campaign_pipeline.campaigns.windows import allowed_at

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)  # a Monday: 04:00 in New York, 10:00 in Berlin
COLUMNS = ("timezone", "phone", "country", "state")

MakeRun = Callable[..., Run]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def contacts(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict.fromkeys(COLUMNS, pl.String))


@pytest.fixture
def times(make_run: MakeRun) -> Callable[..., list[tuple[datetime, datetime, str]]]:
    """(wanted_at, send_at, window) of contacts, for a run with these fields of its campaign."""

    def of(*rows: dict[str, Any], as_of: datetime = AS_OF, policy: dict[str, Any] | None = None, **fields: Any) -> Any:
        timing = Timing.of(make_run(as_of, **fields), QuietHoursPolicy.model_validate(policy or {}))
        found = send_times(contacts(*rows), timing)
        assert dict(found.schema) == SCHEMA
        return found.rows()

    return of


Times = Callable[..., list[tuple[datetime, datetime, str]]]


def wanted(rows: list[tuple[datetime, datetime, str]]) -> list[str]:
    return [f"{row[0]:%d %H:%M}" for row in rows]


def test_without_a_local_time_everybody_is_sent_to_at_the_runs_time(times: Times) -> None:
    assert times({"timezone": "Asia/Tokyo"}, {}) == [(AS_OF, AS_OF, "")] * 2
    assert times() == []


def test_each_contact_gets_its_own_ten_oclock(times: Times) -> None:
    zones = ["Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Asia/Kathmandu", "Europe/London"]
    rows = times(*({"timezone": zone} for zone in zones), local_time="10:00")
    assert wanted(rows) == ["02 09:00", "02 15:00", "02 20:00", "03 04:15", "02 10:00"]
    assert [row[1] for row in rows] == [row[0] for row in rows]


@pytest.mark.parametrize(
    ("contact", "expected"),
    [
        ({"timezone": "Asia/Tokyo", "phone": "+12125550100", "country": "DE"}, "03 01:00"),  # its own zone
        ({"phone": "+12125550100", "country": "DE"}, "02 15:00"),  # the number's
        ({"phone": "+447700900123"}, "02 10:00"),  # four islands, one clock
        ({"phone": "+18505550100", "state": "TX", "country": "US"}, "02 12:00"),  # both leave two: that of the schedule
        ({"phone": "+12125550100", "state": "TX", "country": "US"}, "02 15:00"),  # Texas has two, New York one
        ({"state": "California", "country": "US"}, "02 18:00"),
        ({"state": "California"}, "02 12:00"),  # of which country?
        ({"phone": "+61412345678", "country": "FR"}, "02 09:00"),  # Australia has many, France one
        ({"country": "DE"}, "02 09:00"),  # two zones with one clock
        ({"country": "us"}, "02 12:00"),  # many: that of the schedule
        ({}, "02 12:00"),
    ],
)
def test_the_zone_is_the_best_that_leaves_one_moment(times: Times, contact: dict[str, Any], expected: str) -> None:
    schedule = {"cron": "0 9 * * *", "timezone": "Atlantic/South_Georgia"}  # two hours behind UTC
    assert wanted(times(contact, local_time="10:00", schedule=schedule)) == [expected]


def test_without_a_schedule_the_zone_of_whom_nothing_is_known_is_utc(times: Times) -> None:
    assert wanted(times({}, local_time="10:00")) == ["02 10:00"]


def test_local_times_where_clocks_change(times: Times) -> None:
    """On 8 March 2026 New York has no 02:30; on 1 November it has 01:30 twice."""
    new_york = {"timezone": "America/New_York"}
    assert wanted(times(new_york, as_of=utc("2026-03-08T00:00"), local_time="02:30")) == ["08 07:00"]
    assert wanted(times(new_york, as_of=utc("2026-11-01T00:00"), local_time="01:30")) == ["01 05:30"]
    assert wanted(times(new_york, as_of=utc("2026-03-08T00:00"), local_time="10:00")) == ["08 14:00"]


def test_sms_move_to_the_next_allowed_hour(times: Times) -> None:
    rows = times({"phone": "+12125550100"}, {"phone": "+14155550100"}, {"phone": "+4915112345678"}, channel="sms")
    assert [row[0] for row in rows] == [AS_OF] * 3
    assert [row[1] for row in rows] == [utc("2026-03-02T13:00"), utc("2026-03-02T16:00"), AS_OF]
    assert [row[2] for row in rows] == [
        "Mo-Su 08:00-21:00 @ America/New_York",
        "Mo-Su 08:00-21:00 @ America/Los_Angeles",
        "",
    ]


def test_a_local_time_in_quiet_hours_moves_too(times: Times) -> None:
    (row,) = times({"phone": "+12125550100"}, channel="sms", local_time="22:30")
    assert row[:2] == (utc("2026-03-03T03:30"), utc("2026-03-03T13:00"))


def test_a_message_that_is_no_marketing_ignores_quiet_hours(times: Times) -> None:
    rows = times({"phone": "+12125550100"}, channel="sms", quiet_hours="ignore", purpose="delivery")
    assert rows == [(AS_OF, AS_OF, "")]


def test_emails_go_at_night_unless_the_team_says_otherwise(times: Times) -> None:
    assert times({"country": "US", "state": "NY"}) == [(AS_OF, AS_OF, "")]
    (row,) = times({"country": "US", "state": "NY"}, policy={"channels": ["email"]})
    assert row[1] == utc("2026-03-02T13:00")


def test_an_email_that_falls_back_to_sms_goes_at_once_with_the_window_of_the_sms(times: Times) -> None:
    fallback = [{"channel": "sms", "templates": {"plain": "short"}}]
    (row,) = times({"phone": "+12125550100"}, fallback=fallback)
    assert row == (AS_OF, AS_OF, "Mo-Su 08:00-21:00 @ America/New_York")


def test_an_hour_after_the_deadline_is_not_waited_for(times: Times) -> None:
    """New York opens at 13:00, Los Angeles at 16:00: dispatch ends what cannot go out before the deadline."""
    rows = times({"phone": "+12125550100"}, {"phone": "+14155550100"}, channel="sms", send_before="4h")
    assert [row[1] for row in rows] == [utc("2026-03-02T13:00"), AS_OF]
    assert not allowed_at(rows[1][2], rows[1][1])


def test_the_first_attribute_that_names_a_region_counts(make_run: MakeRun) -> None:
    timing = Timing.of(make_run(channel="sms"), QuietHoursPolicy())
    frame = pl.DataFrame(
        {
            "phone": ["+18005550100"] * 5,
            "region": ["US-FL", " texas ", "the south", None, None],
            "state": ["CT", "CT", "CT", "CT", None],
        }
    )
    found = send_times(frame, timing)["window"].to_list()
    assert found[0] == "Mo-Su 08:00-20:00 @ America/New_York America/Chicago"
    assert found[1] == "Mo-Sa 09:00-21:00 Su 12:00-21:00 @ America/Chicago America/Denver"
    assert found[2] == found[3] == "Mo-Su 09:00-20:00 @ America/New_York"
    assert found[4].startswith("Mo-Fr 10:00-18:00 Sa 10:00-17:00 off 2026-")


def test_an_attribute_that_is_no_text_says_nothing(make_run: MakeRun) -> None:
    timing = Timing.of(make_run(channel="sms"), QuietHoursPolicy())
    frame = pl.DataFrame({"phone": ["+12125550100"], "region": [7]})
    assert send_times(frame, timing)["window"].to_list() == ["Mo-Su 08:00-21:00 @ America/New_York"]


some = {
    "timezone": st.sampled_from([None, "Europe/Berlin", "America/Phoenix", "Asia/Kathmandu"]),
    "phone": st.sampled_from([None, "+12125550100", "+18505550101", "+61412345678", "+33612345678", "+18005550100"]),
    "country": st.sampled_from([None, "US", "CA", "AU", "FR", "XX"]),
    "state": st.sampled_from([None, "TX", "Ontario", "nowhere"]),
}


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.fixed_dictionaries(some), max_size=12),
    as_of=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    local=st.none() | st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    hours=st.none() | st.integers(1, 48),
)
def test_many_contacts_get_what_each_would_get_alone(
    rows: list[dict[str, Any]], as_of: datetime, local: time | None, hours: int | None
) -> None:
    as_of = as_of.replace(microsecond=0)
    deadline = as_of + timedelta(hours=hours) if hours else None
    rules = QuietHoursPolicy().in_force("sms", "marketing", as_of.date())  # type: ignore[arg-type]
    timing = Timing(as_of, local, "UTC", deadline, rules, holds=True)
    together = send_times(contacts(*rows), timing).rows()
    assert together == [send_times(contacts(row), timing).row(0) for row in rows]
    for at, send_at, window in together:
        assert as_of <= at <= send_at
        assert allowed_at(window, send_at) or send_at == at
        assert deadline is None or send_at <= deadline or send_at == at


def test_the_timetable_counts_by_hour_who_is_delayed_and_for_whom_it_is_too_late(make_run: MakeRun) -> None:
    timing = Timing.of(make_run(channel="sms", send_before="6h"), QuietHoursPolicy())
    numbers = ["+4915112345678", "+12125550100", "+12125550101", "+13055550100", "+14155550100"]
    frame = pl.DataFrame({"phone": numbers, "status": ["planned", "planned", "planned", "planned", "planned"]})
    audience = frame.hstack(send_times(frame, timing)).vstack(
        pl.DataFrame(
            {"phone": [None], "status": ["no_address"], **dict.fromkeys(SCHEMA)}, schema=dict(frame.schema) | SCHEMA
        )
    )
    table = Timetable.of(audience, timing)
    assert (table.delayed, table.too_late) == (3, 1)  # Los Angeles opens after the deadline
    assert table.hours.rows() == [(AS_OF, 1, 0), (utc("2026-03-02T13:00"), 3, 3)]


def test_the_timetable_knows_of_local_times_after_the_deadline(make_run: MakeRun) -> None:
    timing = Timing.of(make_run(local_time="08:00", send_before="12h"), QuietHoursPolicy())
    frame = contacts({"timezone": "Europe/Berlin"}, {"timezone": "America/New_York"})
    audience = frame.hstack(send_times(frame, timing)).with_columns(status=pl.lit("planned"))
    table = Timetable.of(audience, timing)
    assert (table.delayed, table.too_late) == (0, 1)  # Berlin's next 08:00 is tomorrow
    assert Timetable.of(audience.clear(), timing).hours.height == 0
