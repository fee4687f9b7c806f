"""Under never_lose no message is lost to a kill, and each that leaves once more is labelled."""

from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld, on
from tests.chaos.faults import faults
from tests.chaos.mishaps import in_a_request, kill_every_worker, kill_the_provider
from tests.chaos.trial import run_trial


@on("sqlite", "postgresql")
def test_what_is_in_doubt_is_sent_once_more_and_the_ledger_says_so(make_world: MakeWorld) -> None:
    world = make_world(faults=faults("sendgrid", 0.02), sendgrid_batch_size=50)
    mishaps = [in_a_request(kill_every_worker), in_a_request(kill_the_provider), in_a_request(kill_every_worker)]
    trial = run_trial(world, Channel.EMAIL, 2_000, mishaps, seed=3, workers=2, policy="never_lose")
    assert trial.problems == ()
    assert (trial.after.left, trial.after.lost, trial.after.in_doubt) == (2_000, 0, 0)
    assert trial.before.given_up == 0
    assert trial.after.given_up > 0, "nothing was in doubt: the storm proves nothing"
