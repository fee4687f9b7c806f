"""Campaigns and runs in the operational database."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.life_cycle import move_run
from campaign_pipeline.campaigns.store import (
    apply_campaign,
    campaign_state,
    load_campaign,
    load_campaigns,
    load_run,
    load_runs,
    request_run,
)
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.tables import campaigns, runs
from campaign_pipeline.core.words import RunState

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
NAME, RUN = "spring-sale", "spring-sale--20260302t090000z"

Apply = Callable[..., str]


@pytest.fixture(params=["engine", "postgres_engine"])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    return request.getfixturevalue(request.param)


@pytest.fixture
def apply(database: sa.Engine, make_campaign: Callable[..., Campaign]) -> Apply:
    def keep(**fields: Any) -> str:
        with writing(database) as connection:
            return apply_campaign(connection, make_campaign(**fields), AT)

    return keep


def ask(database: sa.Engine, as_of: datetime = AT, requested_by: str = "cli") -> str:
    with writing(database) as connection:
        return request_run(connection, NAME, as_of, requested_by=requested_by, at=AT)


def put(database: sa.Engine, table: sa.Table, state: RunState) -> None:
    with writing(database) as connection:
        connection.execute(sa.update(table).values(state=state))


def state(database: sa.Engine) -> RunState:
    with reading(database) as connection:
        return campaign_state(connection, NAME)


def test_applying_again_adds_nothing(database: sa.Engine, apply: Apply, make_campaign: Callable[..., Campaign]) -> None:
    assert [apply(), apply(), apply(holdout=5), apply(holdout=5)] == ["new", "unchanged", "changed", "unchanged"]
    with reading(database) as connection:
        assert load_campaign(connection, NAME) == make_campaign(holdout=5)
        assert load_campaigns(connection) == {NAME: make_campaign(holdout=5)}
        assert connection.execute(sa.select(campaigns.c.version)).scalar_one() == 2


def test_a_schedule_makes_a_campaign_scheduled_and_its_absence_a_draft(database: sa.Engine, apply: Apply) -> None:
    apply()
    assert state(database) == RunState.DRAFT
    apply(schedule="now")
    assert state(database) == RunState.SCHEDULED
    apply(schedule={"cron": "0 9 * * *"})
    assert state(database) == RunState.SCHEDULED
    apply()
    assert state(database) == RunState.DRAFT


@pytest.mark.parametrize("held", [RunState.RUNNING, RunState.PAUSED, RunState.COMPLETED, RunState.CANCELLED])
def test_a_changed_file_does_not_wake_a_campaign(database: sa.Engine, apply: Apply, held: RunState) -> None:
    apply()
    put(database, campaigns, held)
    assert apply(schedule="now") == "changed"
    assert state(database) == held


def test_asking_twice_for_one_time_is_one_run(database: sa.Engine, apply: Apply) -> None:
    apply()
    assert ask(database) == ask(database, AT + timedelta(microseconds=5), "schedule") == RUN
    assert ask(database, AT + timedelta(seconds=1)) == "spring-sale--20260302t090001z"
    with reading(database) as connection:
        assert [(run.run_id, run.requested_by) for run in load_runs(connection)] == [
            ("spring-sale--20260302t090001z", "cli"),
            (RUN, "cli"),
        ]


def test_a_run_keeps_the_version_that_it_was_requested_with(
    database: sa.Engine, apply: Apply, make_campaign: Callable[..., Campaign]
) -> None:
    apply(send_before="24h")
    ask(database)
    apply(holdout=20)
    later = ask(database, AT + timedelta(days=1))
    with reading(database) as connection:
        assert load_run(connection, RUN).campaign == make_campaign(send_before="24h")
        assert load_run(connection, RUN).deadline == AT + timedelta(hours=24)
        assert load_run(connection, later).campaign == make_campaign(holdout=20)
        assert load_run(connection, later).deadline is None
    assert ask(database) == RUN  # asking again does not bring it up to date
    with reading(database) as connection:
        assert load_run(connection, RUN).campaign == make_campaign(send_before="24h")


@pytest.mark.parametrize(
    ("held", "hint"), [(RunState.PAUSED, "Resume it first: campaigns resume spring-sale"), (RunState.CANCELLED, "")]
)
def test_a_paused_or_cancelled_campaign_gets_no_new_run(
    database: sa.Engine, apply: Apply, held: RunState, hint: str
) -> None:
    apply()
    ask(database)
    put(database, campaigns, held)
    with pytest.raises(Refused) as caught:
        ask(database, AT + timedelta(hours=1))
    assert (caught.value.message, caught.value.hint) == (f"campaign 'spring-sale' is {held}", hint)
    assert ask(database) == RUN  # which is there: asking again is harmless
    with reading(database) as connection:
        assert len(load_runs(connection)) == 1


def test_a_failed_run_of_a_paused_campaign_is_not_taken_up(database: sa.Engine, apply: Apply) -> None:
    apply()
    ask(database)
    put(database, runs, RunState.FAILED)
    assert ask(database) == RUN
    put(database, campaigns, RunState.PAUSED)
    with pytest.raises(Refused, match="campaign 'spring-sale' is paused"):
        ask(database)


def test_runs_are_listed_newest_first_and_by_campaign(database: sa.Engine, apply: Apply) -> None:
    apply()
    apply(campaign="other")
    for hour in (1, 3, 2):
        ask(database, AT + timedelta(hours=hour))
    with writing(database) as connection:
        request_run(connection, "other", AT, requested_by="demo", at=AT)
        move_run(connection, "other--20260302t090000z", RunState.RUNNING, actor="demo", at=AT)
    with reading(database) as connection:
        assert [run.as_of.hour for run in load_runs(connection, NAME)] == [12, 11, 10]
        assert [run.as_of.hour for run in load_runs(connection)] == [12, 11, 10, 9]
        (other,) = load_runs(connection, "other")
    assert (other.state, other.reason, other.requested_by, other.created_at) == (RunState.RUNNING, "", "demo", AT)


def test_what_does_not_exist_is_said(database: sa.Engine) -> None:
    with reading(database) as connection:
        with pytest.raises(NotFound, match="campaign 'spring-sale' does not exist"):
            load_campaign(connection, NAME)
        with pytest.raises(NotFound, match="campaign 'spring-sale' does not exist"):
            campaign_state(connection, NAME)
        with pytest.raises(NotFound, match="run 'gone' does not exist"):
            load_run(connection, "gone")
        assert load_runs(connection, NAME) == []
    with pytest.raises(NotFound, match="campaign 'spring-sale' does not exist"):
        ask(database)
