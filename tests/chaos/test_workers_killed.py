"""kill -9 of workers at random moments, one and two at once, on SQLite and PostgreSQL: nothing twice, nothing lost."""

from random import Random

import pytest

from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld
from tests.chaos.faults import faults
from tests.chaos.judge import Bounds, judge
from tests.chaos.mishaps import kill_a_worker
from tests.chaos.planned import plan_run
from tests.chaos.storm import Storm

E_MAILS = (Channel.EMAIL, 5_000, 8, 50)
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
    world = make_world(faults=faults(provider, 0.005), sendgrid_batch_size=size, twilio_batch_size=size)
    run_id = plan_run(world.installation, channel, messages)
    storm = Storm(world, run_id, messages, Random(kills * workers), workers=workers)
    storm.rage([kill_a_worker] * kills)

    assert storm.kills >= kills
    assert not storm.unexpected()
    answered = size if channel is Channel.EMAIL else 1
    bounds = Bounds(silent=storm.deaths * size, unanswered=world.provider.unanswered() * answered)
    found = judge(world.evidence(run_id), bounds=bounds)
    assert found.problems == ()
    assert found.silent_batches > 0, "no kill hit a request: the storm proves nothing"

    settled = world.settle(run_id)
    after = judge(world.evidence(run_id))
    assert after.problems == ()
    assert after.doubts_that_left == 0, "the provider reported everything that it took"
    assert settled.by_events + settled.by_lookup == found.doubts_that_left
