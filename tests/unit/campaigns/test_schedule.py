"""Which runs are due, and when: never in the future, never from before the definition was applied, never twice."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.schedule import (
    BY_SCHEDULE,
    MOST_CAUGHT_UP,
    Applied,
    Due,
    LeftOut,
    caught_up,
    due_runs,
    occurrence,
)
from campaign_pipeline.campaigns.store import apply_campaign, request_run
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import campaigns
from campaign_pipeline.core.words import RunState

NAME = "spring-sale"
START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
BERLIN = {"cron": "0 9 * * 1", "timezone": "Europe/Berlin"}
VARIANTS = [{"name": "plain", "weight": 1, "template": "plain"}]


def scheduled(schedule: Any) -> Campaign:
    fields = {"campaign": NAME, "channel": "email", "segment": "buyers", "variants": VARIANTS, "schedule": schedule}
    return Campaign.model_validate(fields)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def fires(schedule: dict[str, str], first: str, last: str, minutes: int = 10) -> list[str]:
    """The occurrences that somebody who looks every few minutes sees, as UTC times."""
    campaign, now, seen = scheduled(schedule), at(first), dict[datetime, None]()
    applied = Applied(now)
    while now <= at(last):
        if moment := occurrence(campaign, applied, now):
            seen[moment] = None
        now += timedelta(minutes=minutes)
    return [f"{moment:%d %H:%M}" for moment in seen]


def test_without_a_schedule_nothing_is_due() -> None:
    assert occurrence(scheduled(None), Applied(START), START + timedelta(days=99)) is None


def test_now_is_when_it_was_first_said() -> None:
    first, changed = at("2026-03-02T09:00:00.9Z"), at("2026-03-05T09:00:00Z")
    applied = Applied(changed, first_now=first)
    assert occurrence(scheduled("now"), applied, changed) == at("2026-03-02T09:00:00Z")
    assert occurrence(scheduled("now"), applied, first - timedelta(seconds=5)) is None  # the clock went back


@pytest.mark.parametrize(
    ("applied", "now", "due"),
    [
        ("2026-03-01T00:00Z", "2026-03-02T07:59:59Z", False),
        ("2026-03-01T00:00Z", "2026-03-02T08:00:00Z", True),
        ("2026-03-01T00:00Z", "2026-03-09T08:00:00Z", True),  # missed: it runs late rather than never
        ("2026-03-02T08:00Z", "2026-03-02T08:00:00Z", True),
        (
            "2026-03-02T08:01Z",
            "2026-03-02T08:02:00Z",
            False,
        ),  # applied later than the moment: an old file sends nothing
    ],
)
def test_once_at_a_moment(applied: str, now: str, due: bool) -> None:
    campaign = scheduled({"at": "2026-03-02T09:00:00+01:00"})
    expected = at("2026-03-02T08:00Z") if due else None
    assert occurrence(campaign, Applied(at(applied)), at(now)) == expected


def test_a_cron_fires_at_its_local_time_before_and_after_the_clocks_change() -> None:
    daily = {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}
    assert fires(daily, "2026-03-28T00:00Z", "2026-03-30T12:00Z") == ["28 08:00", "29 07:00", "30 07:00"]
    assert fires(daily, "2026-10-24T00:00Z", "2026-10-26T12:00Z") == ["24 07:00", "25 08:00", "26 08:00"]


def test_in_an_hour_that_clocks_leave_out_it_fires_right_after() -> None:
    """On 29 March 2026 Berlin has no 02:30: 01:59 CET is followed by 03:00 CEST (01:00 UTC)."""
    daily = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    assert fires(daily, "2026-03-28T00:00Z", "2026-03-30T12:00Z") == ["28 01:30", "29 01:00", "30 00:30"]


def test_in_an_hour_that_clocks_repeat_it_fires_once() -> None:
    """On 25 October 2026 Berlin has 02:30 twice: at 00:30 UTC and at 01:30 UTC."""
    daily = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    assert fires(daily, "2026-10-24T00:00Z", "2026-10-26T12:00Z") == ["24 00:30", "25 00:30", "26 01:30"]


def test_of_missed_occurrences_only_the_newest_counts() -> None:
    applied, campaign = Applied(START), scheduled(BERLIN)
    assert occurrence(campaign, applied, at("2026-03-25T12:00Z")) == at("2026-03-23T08:00Z")


def test_a_cron_never_fires_for_a_moment_before_it_was_applied() -> None:
    campaign = scheduled(BERLIN)
    applied = Applied(at("2026-03-02T08:00:01Z"))
    assert occurrence(campaign, applied, at("2026-03-09T07:59Z")) is None
    assert occurrence(campaign, applied, at("2026-03-09T08:00Z")) == at("2026-03-09T08:00Z")


moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
schedules = st.one_of(
    st.just("now"),
    st.builds(lambda moment: {"at": moment}, moments),
    st.builds(
        lambda minute, hour, day, zone: {"cron": f"{minute} {hour} * * {day}", "timezone": zone},
        st.sampled_from(["0", "30", "*/15", "59"]),
        st.sampled_from(["*", "0", "2", "9", "23"]),
        st.sampled_from(["*", "0", "1-5"]),
        st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
    ),
)


@given(schedule=schedules, applied=moments, now=moments)
def test_an_occurrence_is_never_in_the_future_nor_from_before_it_was_applied(
    schedule: Any, applied: datetime, now: datetime
) -> None:
    moment = occurrence(scheduled(schedule), Applied(applied, first_now=applied), now)
    if moment is not None:
        assert moment.tzinfo is UTC
        assert moment.microsecond == 0
        assert applied.replace(microsecond=0) <= moment <= now


@given(
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    now=moments,
)
def test_a_daily_cron_fires_once_a_local_day(hour: int, minute: int, zone: str, now: datetime) -> None:
    campaign = scheduled({"cron": f"{minute} {hour} * * *", "timezone": zone})
    applied = Applied(START - timedelta(days=800))
    seen = {occurrence(campaign, applied, now + timedelta(minutes=each)) for each in range(0, 4 * 60, 15)}
    days = [moment.astimezone(ZoneInfo(zone)).date() for moment in seen if moment]
    assert len(days) == len(set(days))


@pytest.fixture
def put(engine: sa.Engine, make_campaign: Callable[..., Campaign]) -> Callable[..., None]:
    def apply(moment: datetime = START, **fields: Any) -> None:
        with writing(engine) as connection:
            apply_campaign(connection, make_campaign(**fields), moment)

    return apply


def due(engine: sa.Engine, now: datetime) -> list[Due]:
    with reading(engine) as connection:
        return due_runs(connection, now).due


def test_a_run_that_exists_is_not_due_again(engine: sa.Engine, put: Callable[..., None]) -> None:
    put(schedule=BERLIN)
    now = at("2026-03-02T08:30Z")
    (found,) = due(engine, now)
    assert found == Due(NAME, at("2026-03-02T08:00Z"))
    with writing(engine) as connection:
        request_run(connection, NAME, found.as_of, requested_by="schedule", at=now)
    assert due(engine, now + timedelta(days=6)) == []
    assert due(engine, now + timedelta(days=7)) == [Due(NAME, at("2026-03-09T08:00Z"))]


@pytest.mark.parametrize("state", RunState)
def test_draft_paused_and_cancelled_campaigns_are_not_due(
    engine: sa.Engine, put: Callable[..., None], state: RunState
) -> None:
    put(schedule=BERLIN)
    with writing(engine) as connection:
        connection.execute(sa.update(campaigns).values(state=state))
    resting = state in (RunState.DRAFT, RunState.PAUSED, RunState.CANCELLED)
    assert len(due(engine, at("2026-03-02T08:30Z"))) == (0 if resting else 1)


def test_several_campaigns_are_due_each_by_its_own_schedule(engine: sa.Engine, put: Callable[..., None]) -> None:
    put(campaign="a", schedule="now")
    put(campaign="b", schedule={"at": "2026-03-02T06:00:00Z"})
    put(campaign="c", schedule={"at": "2026-03-03T06:00:00Z"})
    put(campaign="d")
    assert due(engine, at("2026-03-02T07:00Z")) == [Due("a", START), Due("b", at("2026-03-02T06:00Z"))]


def test_a_changed_file_with_now_does_not_send_again(engine: sa.Engine, put: Callable[..., None]) -> None:
    put(schedule="now")
    with writing(engine) as connection:
        request_run(connection, NAME, START, requested_by="schedule", at=START)
    put(START + timedelta(days=1), schedule="now", holdout=5)
    assert due(engine, START + timedelta(days=2)) == []


def test_a_draft_that_becomes_now_runs_as_of_that_change(engine: sa.Engine, put: Callable[..., None]) -> None:
    """Not as of its first version: its deadline could have passed long ago."""
    put(START)
    put(START + timedelta(days=30), schedule="now", send_before="24h")
    assert due(engine, START + timedelta(days=30, minutes=1)) == [Due(NAME, START + timedelta(days=30))]


def test_a_changed_cron_counts_from_the_change(engine: sa.Engine, put: Callable[..., None]) -> None:
    put(schedule={"cron": "0 9 * * *"})
    put(START + timedelta(hours=12), schedule={"cron": "0 10 * * *"})
    assert due(engine, START + timedelta(hours=13)) == []
    assert due(engine, START + timedelta(hours=34)) == [Due(NAME, START + timedelta(hours=34))]


DAILY = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "missed": "catch_up"}


def catch_up(first: str, now: str, *, last_run: str | None = None, **fields: Any) -> tuple[list[str], LeftOut | None]:
    campaign = scheduled(DAILY).model_copy(update=fields)
    moments, left_out = caught_up(campaign, Applied(at(first)), at(last_run) if last_run else None, at(now))
    assert all(moment.tzinfo is UTC for moment in moments)
    return [f"{moment:%d %H:%M}" for moment in moments], left_out


def test_every_missed_occurrence_is_caught_up_with_the_oldest_first_also_where_clocks_change() -> None:
    """On 29 March 2026 Berlin has no 02:30; on 25 October it has two, of which the first counts."""
    assert catch_up("2026-03-27T12:00Z", "2026-03-31T12:00Z") == (
        ["28 01:30", "29 01:00", "30 00:30", "31 00:30"],
        None,
    )
    assert catch_up("2026-10-23T12:00Z", "2026-10-26T12:00Z") == (["24 00:30", "25 00:30", "26 01:30"], None)


def test_only_what_comes_after_the_last_run_is_caught_up_with() -> None:
    assert catch_up("2026-03-01T00:00Z", "2026-03-05T12:00Z", last_run="2026-03-03T01:30Z")[0] == [
        "04 01:30",
        "05 01:30",
    ]
    assert catch_up("2026-03-01T00:00Z", "2026-03-05T01:29Z", last_run="2026-03-04T01:30Z") == ([], None)


def test_an_occurrence_at_the_moment_of_applying_and_one_right_now_count() -> None:
    assert catch_up("2026-03-02T01:30Z", "2026-03-03T01:30Z")[0] == ["02 01:30", "03 01:30"]
    assert catch_up("2026-03-02T01:31Z", "2026-03-03T01:29Z")[0] == []


def test_more_than_can_be_caught_up_with_are_left_out_and_named() -> None:
    moments, left_out = catch_up("2026-01-01T00:00Z", "2026-04-01T12:00Z")
    assert (len(moments), moments[0], moments[-1]) == (MOST_CAUGHT_UP, "11 01:30", "01 00:30")
    assert str(left_out) == (
        "spring-sale: occurrences that were missed from 2026-01-01T00:00Z to 2026-02-10T01:30Z are left out: "
        "there are more than 50"
    )


def test_what_could_not_be_sent_any_more_is_left_out_and_named() -> None:
    moments, left_out = catch_up("2026-03-01T00:00Z", "2026-03-05T01:30Z", send_before=timedelta(hours=24))
    assert moments == ["04 01:30", "05 01:30"]  # at its very deadline it could
    assert left_out is not None
    assert (left_out.last, left_out.why) == (at("2026-03-03T01:30Z"), "their send_before has passed")


@settings(max_examples=40, deadline=None)
@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    start=moments | st.sampled_from([at("2026-03-28T00:00Z"), at("2026-10-24T00:00Z"), at("2026-11-01T00:00Z")]),
    hours=st.integers(0, 24 * 4),
)
def test_catching_up_later_gives_what_watching_all_the_time_would_have(
    minute: int, hour: int, zone: str, start: datetime, hours: int
) -> None:
    campaign = scheduled({"cron": f"{minute} {hour} * * *", "timezone": zone, "missed": "catch_up"})
    now = start + timedelta(hours=hours)
    applied, watched = Applied(start), set[datetime]()
    looked = start
    while looked <= now:
        watched |= {moment} if (moment := occurrence(campaign, applied, looked)) else set()
        looked += timedelta(hours=1)
    watched |= {moment} if (moment := occurrence(campaign, applied, now)) else set()
    assert caught_up(campaign, applied, None, now) == (sorted(watched), None)


def test_after_a_downtime_each_missed_occurrence_becomes_a_run_once(
    engine: sa.Engine, put: Callable[..., None]
) -> None:
    put(schedule=BERLIN | {"missed": "catch_up"})

    def tick(now: datetime) -> list[datetime]:
        with writing(engine) as connection:
            asked = due_runs(connection, now)
            for each in asked.due:
                request_run(connection, each.campaign, each.as_of, requested_by=BY_SCHEDULE, at=now)
        assert asked.left_out == []
        return [each.as_of for each in asked.due]

    assert tick(at("2026-03-02T08:30Z")) == [at("2026-03-02T08:00Z")]
    back = at("2026-03-31T12:00Z")
    missed = [at(f"2026-03-{day}") for day in ("09T08:00Z", "16T08:00Z", "23T08:00Z", "30T07:00Z")]
    assert tick(back) == missed
    assert tick(back) == []
    assert tick(back + timedelta(days=7)) == [at("2026-04-06T07:00Z")]


def test_a_run_that_somebody_requested_by_hand_hides_no_missed_occurrence(
    engine: sa.Engine, put: Callable[..., None]
) -> None:
    put(schedule=BERLIN | {"missed": "catch_up"})
    with writing(engine) as connection:
        request_run(connection, NAME, at("2026-03-16T08:00Z"), requested_by="cli", at=START)
        request_run(connection, NAME, at("2026-03-17T15:00Z"), requested_by="cli", at=START)
    assert due(engine, at("2026-03-18T12:00Z")) == [
        Due(NAME, at("2026-03-02T08:00Z")),
        Due(NAME, at("2026-03-09T08:00Z")),
    ]


def test_catching_up_counts_from_the_change_of_the_definition(engine: sa.Engine, put: Callable[..., None]) -> None:
    put(schedule=BERLIN | {"missed": "catch_up"})
    put(at("2026-03-10T00:00Z"), schedule=BERLIN | {"missed": "catch_up"}, holdout=5)
    assert due(engine, at("2026-03-24T00:00Z")) == [
        Due(NAME, at("2026-03-16T08:00Z")),
        Due(NAME, at("2026-03-23T08:00Z")),
    ]


def test_a_campaign_that_was_paused_catches_up_when_it_is_resumed(engine: sa.Engine, put: Callable[..., None]) -> None:
    put(schedule=BERLIN | {"missed": "catch_up"})
    with writing(engine) as connection:
        connection.execute(sa.update(campaigns).values(state=RunState.PAUSED))
    assert due(engine, at("2026-03-17T00:00Z")) == []
    with writing(engine) as connection:
        connection.execute(sa.update(campaigns).values(state=RunState.SCHEDULED))
    assert len(due(engine, at("2026-03-17T00:00Z"))) == 3
