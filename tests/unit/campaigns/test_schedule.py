"""Which runs are due, and when: never in the future, never from before the definition was applied, never twice."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.schedule import Applied, Due, due_runs, occurrence
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
        return due_runs(connection, now)


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
