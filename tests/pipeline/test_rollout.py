"""Roll-outs through the whole pipeline: the test, the decision, and the others; everybody once, all accounted for."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import apply_campaign, load_campaign, load_run, request_run
from campaign_pipeline.cli.app import app
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.tables import rollout_parts
from campaign_pipeline.defs.freshness import Request
from campaign_pipeline.defs.launch import execute, run_and_wait
from campaign_pipeline.operations import rollouts
from campaign_pipeline.operations.results import measure_facts
from campaign_pipeline.operations.rollout_results import decision_figures, rollout_result
from tests.rehearsal import AS_OF, Rehearsal

TEST = 0.3


def apply(town: Rehearsal, name: str, rollout: dict[str, Any]) -> None:
    with writing(town.installation.engine) as connection:
        fields = load_campaign(connection, "spring-sale").model_dump(mode="json", exclude_none=True)
        changes = {"campaign": name, "rollout": rollout, "holdout": 10, "schedule": None, "send_before": None}
        campaign = Campaign.model_validate({**fields, **changes})
        apply_campaign(connection, campaign, AS_OF - timedelta(days=1))


def people(town: Rehearsal, run_id: str, status: str) -> set[str]:
    audience = town.installation.lake.scan("audience", run_id).filter(pl.col("status") == status)
    return set(audience.select("contact_id").collect()["contact_id"])


def sent_to(town: Rehearsal, run_id: str) -> list[str]:
    messages = town.installation.lake.read("messages", run_id).select("message_id", "contact_id")
    return town.sends(run_id).join(messages, on="message_id")["contact_id"].to_list()


@pytest.fixture(scope="module")
def winner(town: Rehearsal) -> str:
    rule = {"method": "winner", "test_share": TEST, "decide_after": "4h", "max_expected_loss": 1.0}
    apply(town, "tested-first", rule)
    return town.run("tested-first")


def test_first_only_the_test_is_sent_to(town: Rehearsal, winner: str) -> None:
    account = town.account(winner)
    assert account.planned == len(people(town, winner, "planned")) == town.sends(winner).height > 0
    reserved = people(town, winner, "reserved")
    assert account.audience["reserved"] == len(reserved) > account.planned
    [progress] = rollouts.rollouts(town.installation, "tested-first")
    assert (progress.state, progress.next_part) == ("due", 1)  # the clock stands 8 hours after the run's time
    assert progress.next_at == AS_OF + timedelta(hours=4)


def test_then_all_others_get_what_won_once_and_nobody_else_does(town: Rehearsal, winner: str) -> None:
    town.take_in_events()
    execute(town.instance, Request("advance_rollout", winner))
    [progress] = rollouts.rollouts(town.installation, "tested-first")
    assert (progress.state, len(progress.parts)) == ("complete", 1)
    [part] = progress.parts
    assert part.part is not None
    [chosen] = part.weights
    with reading(town.installation.engine) as connection:
        kept = connection.execute(sa.select(rollout_parts).where(rollout_parts.c.run_id == part.run_id)).one()
    assert (kept.decided_by, kept.rule, kept.part_no) == ("rollout", "rollout-1", 1)
    figures = {row["variant"]: row["prob_best"] for row in kept.figures["parts"][0]}
    assert max(figures, key=lambda name: figures[name]) == chosen
    assert rollouts.advance(town.installation, winner)[1] == "", "it is decided once"

    run_and_wait(town.installation, town.instance, part.run_id)
    waited, reached = people(town, winner, "reserved"), sent_to(town, part.run_id)
    assert len(reached) == len(set(reached))
    assert set(reached) == people(town, part.run_id, "planned") <= waited
    assert set(reached).isdisjoint(sent_to(town, winner))
    assert set(reached).isdisjoint(people(town, winner, "held_out"))
    account = town.account(part.run_id)
    assert sum(account.audience.values()) == len(waited)
    assert account.messages == {"accepted": account.planned}
    facts = measure_facts(town.installation, part.run_id).filter(pl.col("status") == "planned")
    assert facts["variant"].unique().to_list() == [chosen]
    # Its own comparison has nothing to compare, and says nothing.
    assert rollouts.compare(town.installation, part.run_id, None).is_empty()


def test_batches_reach_everybody_once_and_a_kill_between_any_two_steps_changes_nothing(
    town: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(town, "batched", {"method": "thompson", "batches": 3, "every": "1m", "at_least": 10})
    first = town.run("batched")
    parts = [first]
    for number in (1, 2):
        town.take_in_events()
        _die_at(monkeypatch, town, first, number)
        later = timedelta(minutes=5 * number)
        monkeypatch.setattr(type(town.installation), "clock", _clock(town, later), raising=False)
        choice, run_id = rollouts.advance(town.installation, first)
        assert choice.weights is not None
        assert sum(choice.weights.values()) == pytest.approx(1)
        assert len(choice.weights) == len(rollouts.rollout_of(town.installation, first).run.campaign.variants)
        run_and_wait(town.installation, town.instance, run_id)
        parts.append(run_id)
    reached = [contact for run_id in parts for contact in sent_to(town, run_id)]
    assert len(reached) == len(set(reached))
    reserved = people(town, first, "reserved")
    frozen = [set(town.installation.lake.scan("audience", run_id).collect()["contact_id"]) for run_id in parts[1:]]
    assert frozen[0] | frozen[1] == reserved
    assert frozen[0].isdisjoint(frozen[1])
    # Not reached is only who was suppressed in between, and is told as such.
    planned = set[str]().union(*(people(town, run_id, "planned") for run_id in parts))
    suppressed = set[str]().union(*(people(town, run_id, "suppressed") for run_id in parts[1:]))
    assert set(reached) == planned
    assert reserved - planned == suppressed
    [progress] = rollouts.rollouts(town.installation, "batched")
    assert progress.state == "complete"
    # What each part was decided by is kept, and the result is over all of them.
    measure_facts(town.installation, parts[2])
    figures = decision_figures(town.installation, parts[1])
    variants = list(progress.run.campaign.variants)
    of_decisions = [(1, 0), (2, 0), (2, 1)]  # the second one was made by the first two parts
    assert figures.select("part", "by_part").rows() == [pair for pair in of_decisions for _ in variants]
    result = rollout_result(town.installation, first)
    assert result["variant"].to_list() == [each.name for each in variants]
    assert result["parts"].unique().to_list() == [3]
    assert result["units"].sum() == len(planned)
    told = CliRunner().invoke(app, ["rollouts", "show", parts[2], "--json"])
    shown = json.loads(told.stdout)
    assert (shown["run"], shown["state"], shown["figures"]) == (first, "complete", figures.to_dicts())
    assert shown["result"] == result.to_dicts()
    lines = CliRunner().invoke(app, ["rollouts", "show", first])
    assert lines.exit_code == 0
    assert "over all parts, compared within each" in lines.stdout
    assert rollouts.rollout_of(town.installation, parts[2]).run.run_id == first


def _clock(town: Rehearsal, later: timedelta) -> Any:
    settings = town.installation.settings
    return lambda _self: settings.clock() + later


def _die_at(monkeypatch: pytest.MonkeyPatch, town: Rehearsal, first: str, number: int) -> None:
    """Each step of a decision fails once; nothing of it is left."""
    before = len(rollouts.rollout_of(town.installation, first).parts)
    for step in ("measure_facts", "compare", "request_run", "version_of"):
        with monkeypatch.context() as broken:
            broken.setattr(type(town.installation), "clock", _clock(town, timedelta(minutes=5 * number)), raising=False)
            broken.setattr(rollouts, step, _killed)
            with pytest.raises(KeyboardInterrupt):
                rollouts.advance(town.installation, first)
    assert len(rollouts.rollout_of(town.installation, first).parts) == before


def _killed(*_given: object, **_named: object) -> None:
    raise KeyboardInterrupt


def test_a_person_can_decide_or_stop_and_both_are_kept(town: Rehearsal) -> None:
    apply(town, "by-hand", {"method": "thompson", "batches": 5})
    first = town.run("by-hand")
    with reading(town.installation.engine) as connection:
        names = list(load_run(connection, first).campaign.weights)
    run_id = rollouts.decide(town.installation, first, names[1], reason="the other is sold out", actor="ann")
    [progress] = rollouts.rollouts(town.installation, "by-hand")
    assert progress.state == "complete"
    assert progress.parts[0].weights == {names[1]: 1.0}
    run_and_wait(town.installation, town.instance, run_id)
    assert set(sent_to(town, run_id)) == people(town, run_id, "planned") <= people(town, first, "reserved")
    with pytest.raises(Refused, match="complete"):
        rollouts.decide(town.installation, first, names[0], reason="no", actor="ann")

    apply(town, "stopped", {"method": "winner", "decide_after": "1h"})
    second = town.run("stopped")
    assert rollouts.stop(town.installation, second, reason="over", actor="ann")
    assert not rollouts.stop(town.installation, second, reason="over", actor="ann")
    assert rollouts.advance(town.installation, second)[0].reason == "stopped"
    with pytest.raises(Refused, match="stopped"):
        rollouts.decide(town.installation, second, names[0], reason="no", actor="ann")


def test_two_at_once_come_to_one_decision(town: Rehearsal) -> None:
    apply(town, "raced", {"method": "winner", "decide_after": "1h", "timeout": "2h"})
    first = town.run("raced")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: rollouts.advance(town.installation, first), range(4)))
    with reading(town.installation.engine) as connection:
        query = sa.select(rollout_parts.c.run_id).where(rollout_parts.c.parent_run_id == first)
        kept = connection.execute(query).scalars().all()
    assert len(kept) == 1
    assert {run_id for _, run_id in found} <= {kept[0], ""}


def test_the_sensor_asks_for_what_is_due(town: Rehearsal) -> None:
    from campaign_pipeline.defs.automation import due_parts

    apply(town, "sensed", {"method": "winner", "decide_after": "1h"})
    first = town.run("sensed")
    context = dg.build_sensor_context(instance=town.instance)
    result = due_parts(context)
    assert isinstance(result, dg.SensorResult)
    assert first in {request.partition_key for request in result.run_requests or []}


def test_a_campaign_that_is_changed_meanwhile_rolls_out_as_it_was(town: Rehearsal) -> None:
    apply(town, "changed", {"method": "winner", "decide_after": "1h", "timeout": "2h"})
    first = town.run("changed")
    apply(town, "changed", {"method": "winner", "decide_after": "1h", "timeout": "2h", "test_share": 0.5})
    _, run_id = rollouts.advance(town.installation, first)
    with reading(town.installation.engine) as connection:
        assert load_run(connection, run_id).campaign == load_run(connection, first).campaign
        newest = request_run(connection, "changed", AS_OF + timedelta(days=1), requested_by="t", at=AS_OF)
        assert load_run(connection, newest).campaign != load_run(connection, first).campaign
        connection.rollback()


def test_it_is_decided_by_all_events_that_came_also_by_those_that_nobody_took_in_yet(town: Rehearsal) -> None:
    apply(town, "unread", {"method": "winner", "decide_after": "1h", "max_expected_loss": 1.0})
    first = town.run("unread")
    _, run_id = rollouts.advance(town.installation, first)
    with reading(town.installation.engine) as connection:
        query = sa.select(rollout_parts.c.figures).where(rollout_parts.c.run_id == run_id)
        [rows] = connection.execute(query).scalar_one()["parts"]
    assert sum(row["mean"] * row["n"] for row in rows) > 0
    town.take_in_events()  # what follows by itself finds nothing else
    again = rollouts.compare(town.installation, first, town.installation.clock().date()).filter("is_goal")
    assert {row["variant"]: row["mean"] for row in rows} == dict(again.select("variant", "mean").iter_rows())
