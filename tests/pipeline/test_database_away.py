"""A database that is away for a moment does not fail the run in Dagster: its worker begins anew."""

from typing import Any

import pytest

from campaign_pipeline.core.errors import Unavailable
from campaign_pipeline.core.words import RunState
from campaign_pipeline.defs import dispatch
from tests.rehearsal import Rehearsal


def test_a_worker_that_lost_its_database_begins_anew(town: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dispatch.send_channel
    names: list[str] = []

    def lost_at_first(*arguments: Any, worker_name: str) -> Any:
        names.append(worker_name)
        if len(names) == 1:
            raise Unavailable("the database cannot be used: server closed the connection unexpectedly")
        return whole(*arguments, worker_name=worker_name)

    monkeypatch.setattr(dispatch, "send_channel", lost_at_first)
    monkeypatch.setattr(dispatch, "DATABASE_SECONDS", 0.0)
    run_id = town.run("spring-sale")
    assert len(set(names)) == 2, "each try has a name of its own in the ledger"
    account = town.account(run_id)
    assert (account.state, account.pending) == (RunState.COMPLETED, 0)
    assert town.sends(run_id)["message_id"].is_unique().all()
