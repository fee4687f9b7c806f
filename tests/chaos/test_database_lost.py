"""PostgreSQL goes down in the middle, or cuts every connection: nothing twice, nothing lost, and it is said why."""

from typing import Any

from campaign_pipeline.core.errors import Unavailable
from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld, on
from tests.chaos.faults import slow
from tests.chaos.mishaps import cut_connections, kill_a_worker, restart
from tests.chaos.trial import run_trial


@on("postgresql")
def test_a_database_that_goes_away_leaves_nothing_sent_twice(make_world: MakeWorld, postgres: Any) -> None:
    world = make_world(faults=[slow("sendgrid", 0.02)], sendgrid_batch_size=50)
    mishaps = [restart(postgres), cut_connections, kill_a_worker, cut_connections, restart(postgres)]
    trial = run_trial(world, Channel.EMAIL, 3_000, mishaps, seed=2, workers=2)
    assert trial.problems == ()
    assert trial.after.doubts_that_left == 0
    assert set(trial.storm.unexpected()) == {Unavailable.exit_code}, "workers say that the database is gone"
