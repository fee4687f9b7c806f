"""PostgreSQL goes down in the middle, or cuts every connection: nothing twice, nothing lost, and it is said why."""

from random import Random
from typing import Any

import pytest

from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld, on
from tests.chaos.faults import slow
from tests.chaos.judge import Bounds, judge
from tests.chaos.mishaps import cut_connections, kill_a_worker, restart
from tests.chaos.planned import plan_run
from tests.chaos.storm import Storm

MESSAGES, SIZE = 3_000, 50


@on("postgresql")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_database_that_goes_away_leaves_nothing_sent_twice(
    make_world: MakeWorld, postgres: Any, workers: int
) -> None:
    world = make_world(faults=[slow("sendgrid", 0.02)], sendgrid_batch_size=SIZE)
    run_id = plan_run(world.installation, Channel.EMAIL, MESSAGES)
    storm = Storm(world, run_id, MESSAGES, Random(workers), workers=workers)
    storm.rage([restart(postgres), cut_connections, kill_a_worker, cut_connections, restart(postgres)])

    found = judge(world.evidence(run_id), bounds=Bounds(silent=storm.deaths * SIZE, unanswered=0))
    assert found.problems == ()
    assert storm.unexpected(), "no worker lost its database: the storm proves nothing"
    world.settle(run_id)
    after = judge(world.evidence(run_id))
    assert (after.problems, after.doubts_that_left) == ((), 0)
