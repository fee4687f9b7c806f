"""Wrong clocks, workers that stand still or that nobody wanted, events meanwhile: nothing twice, nothing lost."""

from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld, on
from tests.chaos.faults import faults
from tests.chaos.mishaps import freeze_a_worker, kill_a_worker, start_a_rival, step_the_clock, take_in_events
from tests.chaos.trial import run_trial


@on("sqlite", "postgresql")
def test_odd_workers_send_nothing_twice_and_lose_nothing(make_world: MakeWorld) -> None:
    world = make_world(faults=faults("sendgrid", 0.02), sendgrid_batch_size=50)
    odd = [step_the_clock, start_a_rival, freeze_a_worker, take_in_events, kill_a_worker, take_in_events]
    trial = run_trial(world, Channel.EMAIL, 3_000, [*odd, *reversed(odd)], seed=5, workers=2)
    assert trial.problems == ()
    assert trial.after.doubts_that_left == 0
    assert not trial.storm.unexpected()
