"""kill -9 of what Dagster runs, and the same partition materialised several times at once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from campaign_pipeline.campaigns.store import request_run
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.demo.town import take_in_people
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.operations.apply import apply_folder
from tests.chaos.dagster_home import DagsterHome, until
from tests.chaos.faults import slow
from tests.chaos.judge import Bounds, judge
from tests.chaos.world import World, world
from tests.rehearsal import AS_OF

PEOPLE, SIZE = 600, 10
CAMPAIGN = "spring-sale"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("town")
    offset = (AS_OF - datetime.now(UTC)).total_seconds()
    pace = [slow("sendgrid", 0.3)]
    with world(folder, faults=pace, sendgrid_batch_size=SIZE, clock_offset_seconds=offset) as town:
        take_in_people(town.installation, folder / "people", PEOPLE)
        apply_folder(town.installation, SAMPLE_DEFINITIONS_DIR)
        yield town


@pytest.fixture(scope="module")
def dagster(town: World) -> Iterator[DagsterHome]:
    home = DagsterHome(town, town.processes.folder / "dagster")
    home.start()
    yield home
    home.kill()


def request(town: World, as_of: datetime) -> str:
    installation = town.installation
    with writing(installation.engine) as connection:
        return request_run(connection, CAMPAIGN, as_of, requested_by="test", at=installation.clock())


def sent(town: World, run_id: str) -> int:
    return town.evidence(run_id).sends.height if town.installation.lake.exists("messages", run_id) else 0


def under_way(town: World) -> int:
    """Messages that one worker may leave in doubt."""
    return town.installation.settings.dispatch_requests * SIZE


def test_dagster_takes_up_a_run_whose_worker_was_killed(town: World, dagster: DagsterHome) -> None:
    run_id = request(town, AS_OF)
    until(lambda: sent(town, run_id) >= 5 * SIZE, 90, "the first messages leave")
    [killed] = dagster.runs_of(run_id)
    dagster.kill_the_worker_of(killed)
    town.provider.only(slow("sendgrid", 0))

    def retries() -> list[dg.DagsterRun]:  # others may be there as well: whatever is left behind is taken up again
        return [run for run in dagster.runs_of(run_id) if run.parent_run_id == killed.run_id]

    until(lambda: any(run.is_success for run in retries()), 90, "a retry succeeds")
    assert {run.tags["dagster/retry_strategy"] for run in retries()} == {"ALL_STEPS"}
    found = judge(town.evidence(run_id), bounds=Bounds(silent=under_way(town), unanswered=0))
    assert found.problems == ()
    assert found.left >= found.messages - under_way(town)


def test_materialising_at_once_and_again_while_all_of_dagster_dies_sends_nothing_twice(
    town: World, dagster: DagsterHome
) -> None:
    as_of = AS_OF - timedelta(hours=1)
    town.provider.only(slow("sendgrid", 3))  # until all of them are there
    run_id = request(town, as_of)
    until(lambda: sent(town, run_id) >= SIZE, 90, "the first messages leave")
    twins = [dagster.press_materialise(CAMPAIGN, as_of.isoformat()) for _ in range(2)]
    until(lambda: len(dagster.runs_of(run_id)) > 1, 90, "two runs of one partition are under way")
    town.provider.only(slow("sendgrid", 0.3))
    dagster.kill()
    dagster.start()
    assert [twin.wait(120) for twin in twins] == [0, 0]
    until(lambda: all(run.is_finished for run in dagster.runs_of(run_id)), 120, "Dagster ends every run")

    found = judge(town.evidence(run_id), bounds=Bounds(silent=under_way(town), unanswered=0))
    assert found.problems == ()
    done = account(town.installation.engine, town.installation.lake, run_id)
    assert done.planned == found.messages
