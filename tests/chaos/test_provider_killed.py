"""kill -9 of the provider itself: what it took is on its record, and nobody sends it again."""

from random import Random

from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld
from tests.chaos.faults import slow
from tests.chaos.judge import Bounds, judge
from tests.chaos.mishaps import kill_a_worker, kill_the_provider
from tests.chaos.planned import plan_run
from tests.chaos.storm import Storm

MESSAGES, SIZE, KILLS = 2_000, 50, 3


def test_a_provider_that_dies_is_waited_for_and_gets_nothing_twice(make_world: MakeWorld) -> None:
    world = make_world(faults=[slow("sendgrid", 0.02)], sendgrid_batch_size=SIZE)
    run_id = plan_run(world.installation, Channel.EMAIL, MESSAGES)
    storm = Storm(world, run_id, MESSAGES, Random(4))
    storm.rage([kill_the_provider, kill_a_worker] * KILLS)

    assert storm.kills == 2 * KILLS
    assert not storm.unexpected()
    under_way = Bounds(silent=storm.deaths * SIZE, unanswered=KILLS * SIZE)
    found = judge(world.evidence(run_id), bounds=under_way)
    assert found.problems == ()
    assert found.unanswered > 0, "no kill of the provider hit a request: the storm proves nothing"

    world.settle(run_id)  # events that it had not posted yet died with it: such a doubt stays one
    assert judge(world.evidence(run_id), bounds=under_way).problems == ()
