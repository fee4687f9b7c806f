"""Pausing, resuming and cancelling: a campaign and its runs move together, or not at all."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import apply_campaign, campaign_state, load_runs, request_run
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.tables import campaigns, runs, state_changes
from campaign_pipeline.core.words import RunState
from campaign_pipeline.operations import control
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.runs import mark_failed

S = RunState
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
NAME = "spring-sale"

Put = Callable[..., list[str]]


@pytest.fixture
def put(installation: Installation) -> Put:
    """A campaign in a state, with runs in states; the run ids, oldest first."""

    def keep(state: RunState, *of_runs: RunState, schedule: object = None) -> list[str]:
        campaign = Campaign.model_validate(
            {
                "campaign": NAME,
                "channel": "email",
                "segment": "buyers",
                "schedule": schedule,
                "variants": [{"name": "plain", "weight": 1, "template": "plain"}],
            }
        )
        with writing(installation.engine) as connection:
            apply_campaign(connection, campaign, AT)
            ids = [
                request_run(connection, NAME, AT + timedelta(hours=n), requested_by="cli", at=AT)
                for n in range(len(of_runs))
            ]
            connection.execute(sa.update(campaigns).values(state=state))
            for run_id, of_run in zip(ids, of_runs, strict=True):
                connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(state=of_run))
        return ids

    return keep


def states(installation: Installation) -> list[str]:
    """Of the campaign, then of its runs, oldest first."""
    with reading(installation.engine) as connection:
        return [campaign_state(connection, NAME), *(run.state for run in reversed(load_runs(connection, NAME)))]


ALL = (S.SCHEDULED, S.RUNNING, S.PAUSED, S.COMPLETED, S.CANCELLED, S.FAILED)


def test_pausing_holds_the_campaign_and_what_is_under_way(installation: Installation, put: Put) -> None:
    ids = put(S.RUNNING, *ALL)
    held = control.pause(installation, NAME, actor="ann", reason="wrong price")
    assert sorted(held) == ids[:3]
    assert states(installation) == [S.PAUSED, S.PAUSED, S.PAUSED, S.PAUSED, S.COMPLETED, S.CANCELLED, S.FAILED]
    with reading(installation.engine) as connection:
        changes = connection.execute(sa.select(state_changes)).all()
        assert load_runs(connection, NAME)[-1].reason == "wrong price"
    assert {(change.subject, change.actor, change.reason) for change in changes} == {
        (subject, "ann", "wrong price") for subject in (NAME, *ids[:2])
    }


def test_cancelling_ends_all_that_has_not_ended(installation: Installation, put: Put) -> None:
    ids = put(S.RUNNING, *ALL)
    assert sorted(control.cancel(installation, NAME, actor="ann")) == [*ids[:3], ids[5]]
    assert states(installation) == [S.CANCELLED] * 4 + [S.COMPLETED, S.CANCELLED, S.CANCELLED]


@pytest.mark.parametrize("state", [S.DRAFT, S.COMPLETED, S.FAILED])
@pytest.mark.parametrize(("act", "to"), [(control.pause, S.PAUSED), (control.cancel, S.CANCELLED)])
def test_a_waiting_run_can_be_stopped_whatever_became_of_the_campaigns_others(
    installation: Installation, put: Put, act: Callable[..., list[str]], to: RunState, state: RunState
) -> None:
    ids = put(state, S.SCHEDULED, S.RUNNING)
    assert sorted(act(installation, NAME, actor="ann")) == ids
    assert states(installation) == [to, to, to]


def test_a_cancelled_campaign_cannot_be_paused_and_its_runs_stay(installation: Installation, put: Put) -> None:
    put(S.CANCELLED, S.RUNNING)
    with pytest.raises(Refused, match="spring-sale is cancelled and cannot become paused"):
        control.pause(installation, NAME, actor="ann")
    assert states(installation) == [S.CANCELLED, S.RUNNING]


def test_resuming_lets_the_paused_runs_wait_to_be_picked_up(installation: Installation, put: Put) -> None:
    ids = put(S.PAUSED, S.PAUSED, S.COMPLETED, S.FAILED)
    assert control.resume(installation, NAME, actor="ann") == ids[:1]
    assert states(installation) == [S.SCHEDULED, S.SCHEDULED, S.COMPLETED, S.FAILED]


@pytest.mark.parametrize(("schedule", "state"), [(None, S.DRAFT), ({"cron": "0 9 * * *"}, S.SCHEDULED)])
def test_resuming_without_a_paused_run_goes_back_to_rest(
    installation: Installation, put: Put, schedule: object, state: RunState
) -> None:
    put(S.PAUSED, schedule=schedule)
    assert control.resume(installation, NAME, actor="ann") == []
    assert states(installation) == [state]


@pytest.mark.parametrize("state", [state for state in RunState if state != S.PAUSED])
def test_only_a_paused_campaign_is_resumed(installation: Installation, put: Put, state: RunState) -> None:
    put(state, S.PAUSED)
    with pytest.raises(Refused, match=f"campaign 'spring-sale' is {state}, not paused"):
        control.resume(installation, NAME, actor="ann")
    assert states(installation) == [state, S.PAUSED]


@pytest.mark.parametrize("act", [control.pause, control.resume, control.cancel])
def test_a_campaign_that_is_not_there_is_said(installation: Installation, act: Callable[..., list[str]]) -> None:
    with pytest.raises(NotFound, match="campaign 'gone' does not exist"):
        act(installation, "gone", actor="ann")


@pytest.mark.parametrize("campaign", [S.DRAFT, S.SCHEDULED, S.RUNNING, S.COMPLETED, S.FAILED])
@pytest.mark.parametrize("run", [S.SCHEDULED, S.RUNNING])
def test_a_run_whose_process_died_has_failed_whatever_its_campaign_says(
    installation: Installation, put: Put, campaign: RunState, run: RunState
) -> None:
    (run_id,) = put(campaign, run)
    mark_failed(installation, run_id, "out of memory")
    assert states(installation) == [S.FAILED, S.FAILED]


@pytest.mark.parametrize("run", [S.PAUSED, S.COMPLETED, S.CANCELLED, S.FAILED])
def test_a_run_that_was_held_or_has_ended_does_not_fail_afterwards(
    installation: Installation, put: Put, run: RunState
) -> None:
    (run_id,) = put(S.RUNNING, run)
    mark_failed(installation, run_id, "late")
    assert states(installation) == [S.RUNNING, run]
