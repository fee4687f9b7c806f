"""SMS, then e-mail for those whose number is wrong, with workers killed on both: nobody gets two."""

from datetime import timedelta
from random import Random

import polars as pl

from campaign_pipeline.campaigns.definition import FALLBACK_WITHIN
from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld
from tests.chaos.faults import faults
from tests.chaos.judge import judge
from tests.chaos.mishaps import in_a_request, kill_a_worker, kill_every_worker
from tests.chaos.planned import WRONG, plan_run
from tests.chaos.storm import Storm

CONTACTS = 300


def test_no_contact_gets_two_messages_whatever_is_killed(make_world: MakeWorld) -> None:
    both = [*faults("twilio", 0.02), *faults("sendgrid", 0.02)]
    world = make_world(faults=both, twilio_batch_size=10)
    run_id = plan_run(world.installation, Channel.SMS, CONTACTS, fallback=Channel.EMAIL)
    storm = Storm(world, run_id, CONTACTS, Random(6), workers=2)
    storm.rage([in_a_request(kill_every_worker), kill_a_worker])
    world.settle(run_id)  # which calls up the e-mails
    storm.go_on([kill_a_worker, in_a_request(kill_every_worker)])
    world.settle(run_id, after=FALLBACK_WITHIN + timedelta(hours=1))

    assert not storm.unexpected()
    evidence = world.evidence(run_id)
    assert judge(evidence).problems == ()
    planned = world.installation.lake.read("messages", run_id).select("message_id", "contact_id", "channel")
    sent = evidence.sends.select("message_id").join(planned, on="message_id")
    assert sent["contact_id"].is_unique().all()
    mailed = sent.filter(pl.col("channel") == Channel.EMAIL.value)["contact_id"].cast(pl.Int64)
    assert 0 < mailed.len() <= CONTACTS // WRONG
    assert (mailed % WRONG == 0).all(), "only those whose number is wrong"
