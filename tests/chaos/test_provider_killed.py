"""kill -9 of the provider itself: what it took is on its record, and nobody sends it again."""

from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld
from tests.chaos.faults import slow
from tests.chaos.mishaps import in_a_request, kill_a_worker, kill_the_provider
from tests.chaos.trial import run_trial


def test_a_provider_that_dies_is_waited_for_and_gets_nothing_twice(make_world: MakeWorld) -> None:
    world = make_world(faults=[slow("sendgrid", 0.03)], sendgrid_batch_size=50)
    mishaps = [in_a_request(kill_the_provider), kill_a_worker] * 3
    trial = run_trial(world, Channel.EMAIL, 2_000, mishaps, seed=4)
    assert trial.problems == ()
    assert trial.storm.kills == 6
    assert not trial.storm.unexpected()
    assert trial.before.unanswered > 0, "no kill of the provider hit a request: the storm proves nothing"
    # Events that it had not posted yet died with it: such a doubt stays one.
    assert trial.after.doubts_that_left <= trial.before.doubts_that_left
