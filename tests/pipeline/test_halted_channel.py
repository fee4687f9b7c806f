"""A channel that a provider refuses: what operators see of it, and how its runs go on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from campaign_pipeline.cli.app import main
from campaign_pipeline.core.words import RunState
from campaign_pipeline.operations.status import runs_overview
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from tests.rehearsal import AS_OF, Rehearsal

RUN = ("run", "spring-sale", "--as-of", AS_OF.isoformat(), "--wait")
Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """`campaigns ... --json`: exit code, and what was printed."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))

    def campaigns(*arguments: str) -> tuple[int, Any]:
        monkeypatch.setattr("sys.argv", ["campaigns", *arguments, "--json"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return campaigns


def test_a_refused_key_halts_the_channel_until_it_is_mended(town: Rehearsal, call: Call) -> None:
    def state() -> tuple[object, str]:
        run = runs_overview(town.installation, "spring-sale")[0]
        return run["state"], str(run["reason"])

    town.sandbox.control.fault(Fault(kind=FaultKind.UNAUTHORIZED_401, provider="sendgrid", count=1))
    code, refused = call(*RUN)
    assert (code, refused["error"]["type"]) == (6, "Halted")
    assert "campaigns senders reopen channel:email --reason WHY" in refused["error"]["hint"]
    assert state()[0] == RunState.FAILED
    assert "http_401" in state()[1]

    code, waits = call(*RUN)  # the key is mended, but nobody has said so yet
    assert code == 6
    assert waits["held_back"].startswith("channel:email is halted since ")
    assert waits["account"]["pending"] > 0
    assert state() == (RunState.RUNNING, waits["held_back"])
    town.run("spring-sale")  # as the sensor takes it up again
    materialised = town.instance.get_latest_materialization_event(dg.AssetKey("dispatch"))
    assert materialised is not None
    assert materialised.asset_materialization is not None
    shown = {name: each.value for name, each in materialised.asset_materialization.metadata.items()}
    assert str(shown["held_back"]).startswith(waits["held_back"])
    pending = waits["account"]["pending"]
    assert (shown["remaining"], shown["doubts"]) == (pending, 0)
    assert {type(shown["rate"]), type(shown["rate_overall"])} == {float}
    assert "estimated_end" not in shown  # nothing goes on
    refused = "credentials, sender or account are refused"
    assert f"| not_sent | http_401 | {refused} |" in str(shown["errors"])
    run = call("status", "spring-sale")[1][0]
    assert (run["remaining"], run["workers"], run["estimated_end"]) == (pending, 0, None)
    assert ("not_sent", "http_401", refused) in [(e["outcome"], e["code"], e["says"]) for e in run["errors"]]

    code, seen = call("senders", "list")
    assert (code, [each["subject"] for each in seen["halted"]]) == (0, ["channel:email"])
    assert call("senders", "reopen", "channel:email", "--reason", "a new key")[0] == 0

    code, done = call(*RUN)
    assert (code, done["account"]["pending"], "held_back" in done) == (0, 0, False)
    assert state() == (RunState.COMPLETED, "")
    run = call("status", "spring-sale")[1][0]
    assert (run["accepted"], run["remaining"], run["errors"]) == (done["account"]["accepted"], 0, [])
    assert run["rate"] > 0
    assert run["rate_overall"] > 0
    sends = town.sends(waits["run"])
    assert sends.height == done["account"]["accepted"] == sends["message_id"].n_unique()
