"""Workers with a wrong clock, and more of them than anybody wanted: nothing twice, nothing lost."""

import pytest

from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld
from tests.chaos.faults import faults
from tests.chaos.mishaps import Mishap, start_a_rival, step_the_clock
from tests.chaos.trial import run_trial


@pytest.mark.parametrize("mishap", [step_the_clock, start_a_rival])
def test_odd_workers_send_nothing_twice_and_lose_nothing(make_world: MakeWorld, mishap: Mishap) -> None:
    world = make_world(faults=faults("sendgrid", 0.02), sendgrid_batch_size=50)
    trial = run_trial(world, Channel.EMAIL, 2_000, [mishap] * 4, seed=5)
    assert trial.problems == ()
    assert trial.after.doubts_that_left == 0
    assert not trial.storm.unexpected()
