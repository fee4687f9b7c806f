"""The disk of the ledger is full: the worker stops and says why, and nothing is sent twice once there is room again."""

import sys

from campaign_pipeline.core.errors import Unavailable
from campaign_pipeline.core.words import Channel
from tests.chaos.conftest import MakeWorld
from tests.chaos.faults import slow
from tests.chaos.judge import Bounds, judge
from tests.chaos.planned import plan_run

MESSAGES, SIZE = 2_000, 5
ROOM = 20_000
"""Bytes that the ledger may still grow by: some batches, of 400."""

WITH_LITTLE_ROOM = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_full_disk_stops_the_worker_which_says_so_and_nothing_is_sent_twice(make_world: MakeWorld) -> None:
    world = make_world(faults=[slow("sendgrid", 0)], sendgrid_batch_size=SIZE)
    run_id = plan_run(world.installation, Channel.EMAIL, MESSAGES)
    world.installation.engine.dispose()  # the last connection puts everything into the one file
    size = (world.installation.settings.data_dir / "campaigns.db").stat().st_size
    full = world.work(run_id, within=[sys.executable, "-c", WITH_LITTLE_ROOM, str(size + ROOM)])
    assert full.wait(120) == Unavailable.exit_code
    assert "the database cannot be used: disk I/O error" in full.said()
    assert 0 < world.provider.sent() < MESSAGES

    assert world.work(run_id).wait(60) == 0
    under_way = world.installation.settings.dispatch_requests * SIZE
    found = judge(world.evidence(run_id), bounds=Bounds(silent=under_way, unanswered=0))
    assert found.problems == ()
    assert found.left == MESSAGES
    world.settle(run_id)
    assert judge(world.evidence(run_id)).in_doubt == 0
