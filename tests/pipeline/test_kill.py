"""A real process, killed for good in the middle of sending: nothing goes out twice, nothing is lost sight of."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.states import IN_FLIGHT
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from tests.rehearsal import AS_OF, Rehearsal

DEADLINE_SECONDS = 60


def test_a_run_that_was_killed_is_taken_up_without_sending_anything_twice(town: Rehearsal, tmp_path: Path) -> None:
    run_id = town.request("spring-sale")
    slow = Fault(kind=FaultKind.SLOW, provider="sendgrid", share=1.0, seconds=0.5)
    town.sandbox.control.fault(slow)
    batch = {"CAMPAIGN_SENDGRID_BATCH_SIZE": "50", "DAGSTER_HOME": str(tmp_path)}
    command = [
        sys.executable,
        "-m",
        "campaign_pipeline.cli",
        "run",
        "spring-sale",
        "--as-of",
        AS_OF.isoformat(),
        "--wait",
    ]
    process = subprocess.Popen(
        command, env={**os.environ, **batch}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while town.sends(run_id).height < 100 and time.monotonic() < deadline:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    town.sandbox.control.clear_faults()
    sent_before_the_kill = town.sends(run_id).height
    planned = town.installation.lake.read("messages", run_id).height
    assert 100 <= sent_before_the_kill < planned

    town.run("spring-sale")

    sends = town.sends(run_id)
    account = town.account(run_id)
    assert sends["message_id"].is_unique().all()
    unknown = account.messages.get(Outcome.IN_DOUBT, 0) + account.messages.get(IN_FLIGHT, 0)
    assert account.messages[Outcome.ACCEPTED] + unknown == planned
    assert unknown <= 100  # the two requests that were under way bound the doubt
    assert planned - sends.height <= unknown
    assert account.pending == 0
