"""Doubts as Dagster shows them, looks at them, and sends once more what a campaign does not want to lose."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.life_cycle import run_state
from campaign_pipeline.campaigns.store import apply_campaign, load_campaign
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import runs
from campaign_pipeline.core.words import Outcome, RunState
from campaign_pipeline.defs import automation
from campaign_pipeline.defs.automation import follow_ups
from campaign_pipeline.defs.doubts import CHANGED_TAG
from campaign_pipeline.defs.freshness import Request
from campaign_pipeline.defs.launch import execute
from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.operations.doubts import list_doubts
from campaign_pipeline.operations.promises import every_message_accounted_for, nothing_sent_twice
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from campaign_pipeline.sandbox.ground_truth import duplicates
from tests.rehearsal import AS_OF, LATER, Rehearsal

LOSE = "spring-sale-whatever-it-takes"


@pytest.fixture
def small_requests(town: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPAIGN_SENDGRID_BATCH_SIZE", "50")


def run_campaign(town: Rehearsal, run_id: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """(metadata of dispatch, name -> evaluation of its checks)."""
    town.instance.add_dynamic_partitions(campaign_runs.name or "", [run_id])
    done = execute(town.instance, Request("run_campaign", run_id))
    checks = {each.check_name: each for each in done.get_asset_check_evaluations()}
    (shown,) = done.asset_materializations_for_node("dispatch.settle")
    return shown.metadata, checks


def look(town: Rehearsal) -> list[dg.RunRequest]:
    """What the sensor asks for now."""
    with dg.build_sensor_context(instance=town.instance) as context:
        result = automation.settle_doubts(context)
    return list(result.run_requests or []) if isinstance(result, dg.SensorResult) else []


def state(town: Rehearsal, run_id: str) -> RunState:
    with reading(town.installation.engine) as connection:
        return run_state(connection, run_id)


@pytest.mark.usefixtures("small_requests")
def test_a_run_ends_with_its_doubts_in_sight_and_events_settle_them(town: Rehearsal) -> None:
    run_id = town.request("spring-sale")
    town.sandbox.control.fault(Fault(kind=FaultKind.ACCEPT_THEN_DROP, provider="sendgrid", count=2))
    shown, checks = run_campaign(town, run_id)
    found = town.account(run_id)
    assert found.in_doubt == 100
    assert (shown["state"].value, shown["in_doubt"].value) == ("completed", 100)
    assert "| no_answer | 2026-03-02 17:0" in shown["doubts_by_claim"].value
    assert "@" not in str(shown)
    assert {name: check.passed for name, check in checks.items() if check.asset_key.path == ["dispatch"]} == {
        "every_message_accounted_for": True,
        "nothing_sent_twice": True,
    }
    counted = checks["every_message_accounted_for"].metadata
    assert counted["planned"].value == found.planned
    assert counted["accepted"].value + counted["in_doubt"].value == found.planned
    assert checks["nothing_sent_twice"].metadata["sent_twice"].value == 0
    assert look(town) == []  # SendGrid's logs are not asked: the window ends in three days

    town.take_in_events()
    assert town.account(run_id).messages == {"accepted": found.planned}
    with writing(town.installation.engine) as connection:
        connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(next_wave_at=AS_OF))
    (request,) = look(town)
    assert (request.partition_key, request.job_name) == (run_id, None)
    assert str(request.run_key).startswith(f"{run_id}:doubts:20260302090000:")
    execute(town.instance, Request("look_at_doubts", run_id))
    assert look(town) == []
    observed = town.instance.fetch_observations(dg.AssetKey("dispatch"), limit=1).records[0].asset_observation
    assert observed is not None
    assert observed.partition == run_id
    assert "| proved by an event | 100 |" in str(observed.metadata["doubts_resolved"].value)
    assert "doubts_by_claim" not in observed.metadata


@pytest.mark.usefixtures("small_requests")
def test_what_must_not_be_lost_is_sent_once_more_when_its_window_is_over(
    town: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(town.installation.engine) as connection:
        changes = {"campaign": LOSE, "on_doubt": "never_lose", "doubt_window": timedelta(minutes=30)}
        apply_campaign(connection, load_campaign(connection, "spring-sale").model_copy(update=changes), AS_OF)
    run_id = town.request(LOSE)
    town.sandbox.control.fault(Fault(kind=FaultKind.REFUSE_BEFORE_ACCEPT, provider="sendgrid", count=1))
    run_campaign(town, run_id)
    planned = town.account(run_id).planned
    assert town.account(run_id).messages == {"accepted": planned - 50, "in_doubt": 50}
    assert state(town, run_id) == RunState.COMPLETED

    offset = town.installation.settings.clock_offset_seconds + timedelta(minutes=31).total_seconds()
    monkeypatch.setenv("CAMPAIGN_CLOCK_OFFSET_SECONDS", str(offset))
    assert [request.partition_key for request in look(town)] == [run_id]
    looked = execute(town.instance, Request("look_at_doubts", run_id))
    tags = town.instance.get_run_by_id(looked.run_id).tags  # pyright: ignore[reportOptionalMemberAccess]
    assert tags[CHANGED_TAG] == "50"
    assert follow_ups("look_at_doubts", run_id, tags) == [Request("measure_run", run_id)]
    assert follow_ups("look_at_doubts", run_id, {}) == []
    assert state(town, run_id) == RunState.RUNNING
    assert look(town) == []
    with dg.build_sensor_context(instance=town.instance) as context:
        due = automation.due_campaigns(context)
    assert isinstance(due, dg.SensorResult)
    assert run_id in {request.partition_key for request in due.run_requests or []}

    shown, checks = run_campaign(town, run_id)
    assert (shown["state"].value, shown["accepted"].value) == ("completed", planned)
    assert checks["nothing_sent_twice"].metadata["sent_again"].value == 50
    sends = town.sends(run_id)
    assert (sends.height, duplicates(sends)) == (planned, [])
    (listed,) = list_doubts(town.installation, LOSE)
    assert listed.resolved.rows() == [("sent once more", 50)]


def test_a_message_that_is_sent_twice_though_nobody_wanted_it_fails_the_check(town: Rehearsal) -> None:
    run_id = town.run("vip-preview", AS_OF - timedelta(minutes=9))
    engine, now = town.installation.engine, AS_OF + LATER
    assert nothing_sent_twice(town.installation, run_id).gate.passed
    ledger.claim(engine, run_id, 0, 2, "a rogue", now, covers=[0])
    broken = nothing_sent_twice(town.installation, run_id)
    assert (broken.gate.passed, broken.gate.found) == (False, 1)
    assert every_message_accounted_for(town.installation, run_id).gate.passed  # it is in one place: accepted, once
    row = ledger.OutcomeRow(run_id, 0, 2, ledger.Source.SEND, Outcome.ACCEPTED, "", "x", now)
    ledger.append_outcomes(engine, [row])
    accounted = every_message_accounted_for(town.installation, run_id)
    assert (accounted.gate.passed, accounted.gate.description) == (False, f"{run_id}: messages were accepted twice")
