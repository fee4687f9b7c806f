"""What dispatch promises of a run, as checks that recompute it from plan, batch file and ledger."""

from datetime import timedelta
from typing import NamedTuple

from campaign_pipeline.campaigns.gates import Gate
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import Inconsistent
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.audit import sent_twice
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.operations.installation import Installation

ACCOUNTED, ONCE = "every_message_accounted_for", "nothing_sent_twice"


class Promise(NamedTuple):
    gate: Gate
    counts: dict[str, int]  # what was counted


def every_message_accounted_for(installation: Installation, run_id: str) -> Promise:
    """planned = accepted + rejected + ... + unknown + in doubt + in flight + pending: every message in one place."""
    settling = timedelta(seconds=installation.settings.settling_seconds)
    try:
        found = account(installation.engine, installation.lake, run_id, installation.clock(), settling)
    except Inconsistent as error:
        return Promise(Gate(ACCOUNTED, False, False, 1, error.message), {})
    sums = " + ".join(f"{count} {state}" for state, count in found.messages.items()) or "0"
    said = f"{found.planned} planned = {sums}"
    return Promise(Gate(ACCOUNTED, True, False, 0, said), {"planned": found.planned, **found.messages})


def nothing_sent_twice(installation: Installation, run_id: str) -> Promise:
    """No message left again while an earlier attempt of it may have arrived, unless policy or person wanted that."""
    with reading(installation.engine) as connection:
        if not ledger.is_planned(connection, run_id):
            return Promise(Gate(ONCE, True, False, 0, "nothing is planned yet"), {})
        held = ledger.read_ledger(connection, run_id)
    twice = sent_twice(BatchFile(installation.lake, run_id).index(), held).len()
    found = account(installation.engine, installation.lake, run_id)
    said = (
        f"{twice} messages may have been sent twice; {found.sent_again} were sent once more as policy or person wanted,"
        f" of which {found.arrived_twice} are known to have been taken both times"
    )
    counts = {"sent_twice": twice, "sent_again": found.sent_again, "arrived_twice": found.arrived_twice}
    return Promise(Gate(ONCE, twice == 0, False, twice, said), counts)
