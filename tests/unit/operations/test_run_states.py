"""How a run's stages move it and its campaign."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import apply_campaign, campaign_state, load_run, request_run
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.tables import campaigns, runs
from campaign_pipeline.core.words import RunState
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.runs import freeze_audience, waiting_runs
from campaign_pipeline.operations.sending import settle_run

S = RunState
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
NAME = "spring-sale"
INDEX = {
    "message_no": pl.Int32,
    "batch_no": pl.Int32,
    "message_id": pl.String,
    "contact_id": pl.String,
    "send_at": pl.Datetime("us", "UTC"),
}


@pytest.fixture
def put(installation: Installation) -> Callable[..., list[str]]:
    """A campaign in a state, with runs in states, that have nothing to send; the run ids, oldest first."""

    def keep(state: RunState, *of_runs: RunState, schedule: object = None) -> list[str]:
        variants = [{"name": "plain", "weight": 1, "template": "plain"}]
        fields = {"campaign": NAME, "channel": "email", "segment": "buyers", "variants": variants, "schedule": schedule}
        ids: list[str] = []
        with writing(installation.engine) as connection:
            apply_campaign(connection, Campaign.model_validate(fields), AT)
            for hours, of_run in enumerate(of_runs):
                as_of = AT + timedelta(hours=hours)
                ids.append(request_run(connection, NAME, as_of, requested_by="cli", at=AT))
                connection.execute(sa.update(runs).where(runs.c.run_id == ids[-1]).values(state=of_run))
            connection.execute(sa.update(campaigns).values(state=state))
        for run_id in ids:
            installation.lake.write(pl.DataFrame(schema=INDEX), "messages", run_id)
        return ids

    return keep


def states(installation: Installation, *ids: str) -> list[str]:
    with reading(installation.engine) as connection:
        return [campaign_state(connection, NAME), *(load_run(connection, run_id).state for run_id in ids)]


def test_runs_that_wait_are_found_with_the_number_of_their_changes(
    installation: Installation, put: Callable[..., list[str]]
) -> None:
    ids = put(S.RUNNING, *(state for state in RunState if state != S.DRAFT))
    waiting = {run_id: 0 for run_id in ids if states(installation, run_id)[1] == S.SCHEDULED}
    assert waiting_runs(installation) == waiting
    assert len(waiting) == 1


@pytest.mark.parametrize(("campaign", "run"), [(S.PAUSED, S.FAILED), (S.PAUSED, S.PAUSED), (S.RUNNING, S.PAUSED)])
def test_what_is_held_does_not_start(
    installation: Installation, put: Callable[..., list[str]], campaign: RunState, run: RunState
) -> None:
    (run_id,) = put(campaign, run)
    with pytest.raises(Refused, match="is paused") as caught:
        freeze_audience(installation, run_id)
    assert caught.value.hint == "Resume it first: campaigns resume spring-sale"
    assert states(installation, run_id) == [campaign, run]


def test_a_campaign_is_completed_with_its_last_run(installation: Installation, put: Callable[..., list[str]]) -> None:
    first, second = put(S.RUNNING, S.RUNNING, S.RUNNING)
    settle_run(installation, second)
    assert states(installation, first, second) == [S.RUNNING, S.RUNNING, S.COMPLETED]
    settle_run(installation, first)
    assert states(installation, first, second) == [S.COMPLETED, S.COMPLETED, S.COMPLETED]


def test_a_recurring_campaign_waits_for_its_next_occurrence(
    installation: Installation, put: Callable[..., list[str]]
) -> None:
    (run_id,) = put(S.RUNNING, S.RUNNING, schedule={"cron": "0 9 * * *"})
    settle_run(installation, run_id)
    assert states(installation, run_id) == [S.SCHEDULED, S.COMPLETED]


@pytest.mark.parametrize("campaign", [S.PAUSED, S.CANCELLED, S.FAILED, S.COMPLETED])
def test_a_run_that_ends_does_not_wake_its_campaign(
    installation: Installation, put: Callable[..., list[str]], campaign: RunState
) -> None:
    (run_id,) = put(campaign, S.RUNNING)
    settle_run(installation, run_id)
    assert states(installation, run_id) == [campaign, S.COMPLETED]
