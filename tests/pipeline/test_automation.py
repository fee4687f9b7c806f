"""What happens by itself: schedules, requests, new events, failures; and what follows what."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.life_cycle import move_run, run_state
from campaign_pipeline.campaigns.store import apply_campaign, load_campaign
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.tables import runs
from campaign_pipeline.core.words import RunState
from campaign_pipeline.defs import automation
from campaign_pipeline.defs.freshness import FOLLOWED_TAG
from campaign_pipeline.defs.repository import defs
from campaign_pipeline.events.touched import notes
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.control import cancel
from tests.rehearsal import AS_OF, Rehearsal

RUN = "spring-sale--20260302t090000z"


def test_the_assets_jobs_and_sensors_are_these() -> None:
    """A snapshot: whoever adds or removes one says so here."""
    assets = sorted(key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys())
    assert assets == [
        "ab_results",
        "assignments",
        "audience",
        "behaviour_history",
        "campaign_metrics",
        "campaign_report",
        "cohort_retention",
        "contact_activity",
        "contact_engagement",
        "contact_snapshot",
        "content_performance",
        "conversions",
        "deliverability",
        "delivery_errors",
        "delivery_events",
        "dispatch",
        "event_days",
        "funnel",
        "holdout_lift",
        "link_performance",
        "message_facts",
        "messages",
        "pre_period",
        "received_events",
        "recent_report",
        "replies",
        "response_times",
        "segment_features",
        "segment_members",
        "segment_membership",
        "system_metrics",
        "touches",
        "warehouse",
    ]
    repository = defs.get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "applied_segments",
        "due_campaigns",
        "due_parts",
        "failed_campaigns",
        "new_behaviour",
        "new_events",
        "results_follow_doubts",
        "settle_doubts",
        "stale_results",
        "touched_contacts",
    }
    assert [schedule.name for schedule in repository.schedule_defs] == [
        "evaluate_segments_hourly",
        "publish_recent_daily",
        "summarise_contacts_daily",
    ]
    assert {job.name for job in automation.JOBS} <= set(repository.job_names)


def test_every_asset_stands_in_its_stage() -> None:
    graph = defs.resolve_asset_graph()
    stages = {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert set(stages.values()) == {
        "contacts",
        "segments",
        "campaigns",
        "messages",
        "dispatch",
        "events",
        "analytics",
    }
    assert stages["behaviour_history"] == "contacts"


def test_dispatch_is_repeated_whole() -> None:
    """Resuming from the failed step can skip work and say SUCCESS."""
    assert defs.resolve_job_def("run_campaign").tags["dagster/retry_strategy"] == "ALL_STEPS"


def _due(town: Rehearsal) -> dict[str, str]:
    """partition -> run key of what the sensor asks for now."""
    with dg.build_sensor_context(instance=town.instance) as context:
        result = automation.due_campaigns(context)
    if isinstance(result, dg.SkipReason):
        return {}
    assert isinstance(result, dg.SensorResult)
    return {str(request.partition_key): str(request.run_key) for request in result.run_requests or []}


def test_a_requested_run_is_started_once_and_again_after_it_failed(town: Rehearsal) -> None:
    assert _due(town) == {}
    run_id = town.request("vip-preview", AS_OF - timedelta(minutes=1))
    first = _due(town)
    assert list(first) == [run_id]
    assert _due(town) == first  # the same key: Dagster starts it once
    with writing(town.installation.engine) as connection:
        at = town.installation.clock()
        move_run(connection, run_id, RunState.FAILED, actor="test", at=at)
        move_run(connection, run_id, RunState.SCHEDULED, actor="test", at=at)
    assert _due(town)[run_id] != first[run_id]
    with writing(town.installation.engine) as connection:
        move_run(connection, run_id, RunState.CANCELLED, actor="test", at=town.installation.clock())
    assert _due(town) == {}


def test_a_scheduled_campaign_is_due_once(town: Rehearsal) -> None:
    with reading(town.installation.engine) as connection:
        campaign = load_campaign(connection, "win-back")
    scheduled = campaign.model_copy(update={"campaign": "win-back-now", "schedule": "now"})
    with writing(town.installation.engine) as connection:
        apply_campaign(connection, scheduled, AS_OF)
    assert list(_due(town)) == ["win-back-now--20260302t090000z"]
    town.run("win-back-now")
    assert _due(town) == {}


def test_a_run_waits_for_messages_that_are_not_due(town: Rehearsal) -> None:
    with writing(town.installation.engine) as connection:
        campaign = load_campaign(connection, "vip-preview").model_copy(update={"campaign": "vip-later"})
        apply_campaign(connection, campaign, AS_OF)
    due_at = town.installation.clock().replace(microsecond=0) + timedelta(hours=1)
    run_id = town.run("vip-later", due_at)
    assert town.account(run_id).pending > 0
    assert town.sends(run_id).height == 0
    assert _due(town) == {}  # nothing to do until then
    with writing(town.installation.engine) as connection:
        taken_up = sa.select(runs.c.next_wave_at).where(runs.c.run_id == run_id)
        assert connection.execute(taken_up).scalar_one() == due_at
        connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(next_wave_at=AS_OF))
    assert list(_due(town)) == [run_id]
    planned = town.account(run_id).planned
    cancel(town.installation, "vip-later", actor="test", reason="called off")
    assert town.account(run_id).messages == {"cancelled": planned}
    assert _due(town) == {}


def test_a_run_that_was_left_running_is_taken_up(town: Rehearsal) -> None:
    run_id = town.request("vip-preview", AS_OF - timedelta(minutes=2))
    with writing(town.installation.engine) as connection:
        move_run(connection, run_id, RunState.RUNNING, actor="test", at=town.installation.clock())
    assert _due(town)[run_id].startswith(f"{run_id}:again:")
    town.run("vip-preview", AS_OF - timedelta(minutes=2))
    assert _due(town) == {}


def test_new_events_are_taken_in_when_there_are_some(town: Rehearsal) -> None:
    town.run("vip-preview", AS_OF - timedelta(minutes=3))
    town.sandbox.control.wait_until_idle(60)
    with dg.build_sensor_context(instance=town.instance) as context:
        assert isinstance(automation.new_events(context), dg.RunRequest)
    town.take_in_events()
    with dg.build_sensor_context(instance=town.instance) as context:
        assert isinstance(automation.new_events(context), dg.SkipReason)


def test_follow_ups_are_left_to_the_command_that_waits(town: Rehearsal) -> None:
    taken_in = town.instance.get_runs(dg.RunsFilter(job_name="take_in_events"))
    assert taken_in
    assert all(FOLLOWED_TAG in run.tags for run in taken_in)
    assert notes(town.installation.engine) == []


def test_an_error_fails_the_run_with_its_reason_and_sends_nothing(town: Rehearsal, tmp_path: Path) -> None:
    """A template that prints a null for some contacts stops the run before anything is sent."""
    broken = tmp_path / "templates"
    broken.mkdir()
    text = "template: lapsed_sms_points\nchannel: sms\nbody: 'Dear {{ contact.nobody }}: STOP ends this'\n"
    (broken / "lapsed_sms_points.yaml").write_text(text)
    apply_folder(town.installation, tmp_path)
    before = town.sandbox.sends().height
    at = AS_OF - timedelta(minutes=4)
    with pytest.raises(InvalidInput, match=r"template lapsed_sms_points: body, line 1: .*nobody"):
        town.run("win-back", at)
    assert town.sandbox.sends().height == before
    with reading(town.installation.engine) as connection:
        assert run_state(connection, town.request("win-back", at)) == RunState.FAILED
