"""kill -9 of workers at random moments, one and two at once, on SQLite and PostgreSQL: nothing twice, nothing lost."""

import pytest

from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld
from tests.chaos.faults import faults
from tests.chaos.mishaps import in_a_request, kill_a_worker, kill_every_worker
from tests.chaos.trial import run_trial

E_MAILS = (Channel.EMAIL, 5_000, 8, 100)
TEXTS = (Channel.SMS, 300, 3, 10)


@pytest.mark.parametrize(
    ("database_url", "workers", "channel", "messages", "kills", "size"),
    [
        ("sqlite", 1, *E_MAILS),
        ("sqlite", 2, *E_MAILS),
        ("postgresql", 1, *E_MAILS),
        ("postgresql", 2, *E_MAILS),
        ("sqlite", 1, *TEXTS),
        ("postgresql", 2, *TEXTS),
    ],
    indirect=["database_url"],
)
def test_workers_that_are_killed_send_nothing_twice_and_lose_nothing(
    make_world: MakeWorld, channel: Channel, messages: int, kills: int, size: int, workers: int
) -> None:
    provider = "sendgrid" if channel is Channel.EMAIL else "twilio"
    world = make_world(faults=faults(provider, 0.02), sendgrid_batch_size=size, twilio_batch_size=size)
    mishaps = [in_a_request(kill_every_worker), *[kill_a_worker] * (kills - 1)]
    trial = run_trial(world, channel, messages, mishaps, seed=workers, workers=workers)
    assert trial.problems == ()
    assert trial.storm.kills >= kills
    assert not trial.storm.unexpected()
    assert trial.before.silent_batches > 0, "no kill hit a request: the storm proves nothing"
    assert trial.settled.by_events + trial.settled.by_lookup == trial.before.doubts_that_left
    assert trial.after.doubts_that_left == 0, "the provider told of everything that it took"
