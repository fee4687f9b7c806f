"""Workers with a wrong clock, and more of them than anybody wanted: nothing twice, nothing lost."""

from random import Random

import pytest

from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld
from tests.chaos.faults import faults
from tests.chaos.judge import Bounds, judge
from tests.chaos.mishaps import Mishap, start_a_rival, step_the_clock
from tests.chaos.planned import plan_run
from tests.chaos.storm import Storm

MESSAGES, SIZE = 2_000, 50


@pytest.mark.parametrize("mishap", [step_the_clock, start_a_rival])
def test_odd_workers_send_nothing_twice_and_lose_nothing(make_world: MakeWorld, mishap: Mishap) -> None:
    world = make_world(faults=faults("sendgrid", 0.02, share=0.005), sendgrid_batch_size=SIZE)
    run_id = plan_run(world.installation, Channel.EMAIL, MESSAGES)
    storm = Storm(world, run_id, MESSAGES, Random(5))
    storm.rage([mishap] * 4)

    assert not storm.unexpected()
    bounds = Bounds(silent=storm.deaths * SIZE, unanswered=world.provider.unanswered() * SIZE)
    assert judge(world.evidence(run_id), bounds=bounds).problems == ()
    world.settle(run_id)
    after = judge(world.evidence(run_id))
    assert (after.problems, after.doubts_that_left) == ((), 0)
