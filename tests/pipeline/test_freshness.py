"""Whatever breaks off between a take-in and the reports is taken up by the sensor, until nothing is stale."""

from typing import Any

import dagster as dg
import polars as pl
import pytest

from campaign_pipeline.core.database import writing
from campaign_pipeline.defs import automation
from campaign_pipeline.defs.freshness import FOLLOWED_TAG, JOBS, NOTE_TAG
from campaign_pipeline.defs.launch import QUIET, bring_up_to_date
from campaign_pipeline.defs.repository import defs
from campaign_pipeline.defs.resources import open_installation
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.events.touched import Kind, note_events, notes
from campaign_pipeline.operations.machines import reclass
from tests.rehearsal import AS_OF, Rehearsal

STEPS = (
    ("defs.events.build_day", Kind.DAY),
    ("defs.analytics.measure_facts", Kind.RUN),
    ("defs.analytics.measure_metrics", Kind.RUN),
    ("defs.analytics.compare", Kind.RESULT),
    ("defs.reports.publish_report", Kind.REPORT),
)


def asked(town: Rehearsal) -> list[dg.RunRequest]:
    """What the sensor asks for now."""
    with dg.build_sensor_context(instance=town.instance) as context:
        result = automation.stale_results(context)
    return list(result.run_requests or []) if isinstance(result, dg.SensorResult) else []


def execute(town: Rehearsal, request: dg.RunRequest) -> bool:
    """Run what was asked for, as the daemon would; whether it succeeded."""
    job = defs.resolve_job_def(str(request.job_name))
    options: dict[str, Any] = {"instance": town.instance, "partition_key": request.partition_key}
    return job.execute_in_process(run_config=QUIET, tags=request.tags, raise_on_error=False, **options).success


def work_off(town: Rehearsal, until: Kind | None = None) -> None:
    """All that the sensor asks for, until it is about to ask for `until` alone, or for nothing more."""
    while requests := [each for each in asked(town) if until is None or each.job_name != JOBS[until]]:
        assert all(execute(town, request) for request in requests)


@pytest.fixture(scope="module")
def run_id(town: Rehearsal) -> str:
    """A run that was sent and heard of, and whose events nobody took in yet."""
    run_id = town.run("spring-sale")
    town.sandbox.control.wait_until_idle(60)
    return run_id


def test_a_crash_at_any_step_is_made_up_for(town: Rehearsal, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installation, lake = town.installation, town.installation.lake
    assert receive(installation.engine, lake, installation.settings).events > 0  # and here the process is gone
    assert lake.partitions("delivery_events") == []
    for function, kind in STEPS:
        work_off(town, kind)
        with monkeypatch.context() as broken:

            def killed(*_: Any, **__: Any) -> None:
                raise RuntimeError("killed")

            broken.setattr(f"campaign_pipeline.{function}", killed)
            [request, *_] = asked(town)
            assert request.job_name == JOBS[kind], function
            assert not execute(town, request)
        assert any(request.tags[NOTE_TAG] == each.tags[NOTE_TAG] for each in asked(town)), function
    work_off(town)
    assert notes(installation.engine) == []
    delivered = pl.scan_parquet(lake.glob("delivery_events")).filter(type="delivered", run_id=run_id).collect()
    facts = lake.read("message_facts", run_id)
    assert facts["delivered_at"].is_not_null().sum() == delivered["message_id"].n_unique() > 0
    assert lake.exists("ab_results", f"{run_id}/{AS_OF:%Y-%m-%d}")
    assert installation.settings.warehouse_path.exists()


def test_the_sensor_leaves_to_others_what_is_under_way(town: Rehearsal, run_id: str) -> None:
    day = f"{AS_OF:%Y-%m-%d}"
    with writing(town.installation.engine) as connection:
        note_events(connection, [day], [], town.installation.clock())
    assert [each.partition_key for each in asked(town)] == [day]
    followed = town.instance.create_run_for_job(
        defs.resolve_job_def("take_in_events"), tags={FOLLOWED_TAG: "true"}, status=dg.DagsterRunStatus.STARTED
    )
    assert asked(town) == []  # a command sees to it
    town.instance.report_run_canceled(followed)
    assert [each.partition_key for each in asked(town)] == [day]
    busy = town.instance.create_run_for_job(
        defs.resolve_job_def("update_day"), tags={"dagster/partition": day}, status=dg.DagsterRunStatus.STARTED
    )
    assert asked(town) == []
    town.instance.report_run_canceled(busy)
    bring_up_to_date(town.instance)
    assert notes(town.installation.engine) == []


def test_days_of_other_rules_are_classed_anew_and_so_are_the_figures(
    town: Rehearsal, run_id: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation, lake = town.installation, town.installation.lake
    before = lake.read("message_facts", run_id)
    assert reclass(installation) == []
    assert before["opens"].sum() > 0
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "version: none-are-human\ntoo_fast: {opened: 3600, clicked: 3600}\nall_links: {links: 2, within: 10}\n"
        "agents:\n  machines: [{pattern: ., who: everybody}]\n"
    )
    monkeypatch.setenv("CAMPAIGN_MACHINE_RULES", str(rules))
    other = open_installation()
    assert reclass(other) == lake.partitions("delivery_events")
    bring_up_to_date(town.instance)
    after = lake.read("message_facts", run_id)
    assert after["opens"].sum() == 0
    assert after["machine_opens"].sum() == before["opens"].sum() + before["machine_opens"].sum()
    assert after.height == before.height
    assert reclass(other) == []
    other.engine.dispose()
