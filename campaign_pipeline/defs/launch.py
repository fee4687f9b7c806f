"""Running the pipeline through Dagster in this process and waiting for it, for commands that wait."""

import os
from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from campaign_pipeline.core.errors import CampaignError, GateFailed
from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.core.progress import progress_of
from campaign_pipeline.defs import automation
from campaign_pipeline.defs.freshness import FOLLOWED_TAG, Request, stale
from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.resources import open_installation
from campaign_pipeline.events.touched import done
from campaign_pipeline.operations.attribution import note_new_behaviour
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.runs import mark_failed

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Dagster's own log lines stay in its event log; the terminal shows progress."""


@contextmanager
def dagster_instance() -> Generator[dg.DagsterInstance]:
    """The instance that `make dev` shows: its settings are in dagster.yaml at the project's root."""
    os.environ.setdefault("DAGSTER_HOME", str(PROJECT_DIR))
    with dg.DagsterInstance.get() as instance:
        yield instance


def run_and_wait(installation: Installation, instance: dg.DagsterInstance, run_id: str) -> None:
    """Execute the run's job to its end; the error of the step that failed, if one did."""
    instance.add_dynamic_partitions(campaign_runs.name or "", [run_id])
    try:
        execute(instance, Request(automation.run_campaign.name, run_id, automation.EVERY_REPEAT_IS_WHOLE))
    except BaseException as error:
        mark_failed(installation, run_id, str(error) or type(error).__name__)
        raise


def take_in_events(instance: dg.DagsterInstance) -> int:
    """Bring every new event through to facts, results and reports; how many events there were."""
    taken = execute(instance, Request(automation.take_in_events.name))
    count = taken.asset_materializations_for_node("received_events")[0].metadata["dagster/row_count"].value
    assert isinstance(count, int)
    bring_up_to_date(instance)
    return count


def bring_up_to_date(instance: dg.DagsterInstance) -> None:
    """Write anew all that events made stale, as the sensor would."""
    installation, progress, finished = open_installation(), progress_of("results"), 0
    try:
        while waiting := stale(installation.engine):
            for note, request in waiting.items():
                progress(finished, finished + len(waiting))
                execute(instance, request)
                done(installation.engine, note)
                finished += 1
    finally:
        installation.engine.dispose()


def follow_behaviour(installation: Installation, instance: dg.DagsterInstance) -> None:
    """Bring behaviour that was imported through to the conversions, figures and results of runs."""
    note_new_behaviour(installation)
    bring_up_to_date(instance)


def execute(instance: dg.DagsterInstance, request: Request) -> dg.ExecuteInProcessResult:
    """One job, in this process. An error of ours is raised as it was, without Dagster's wrapping."""
    from campaign_pipeline.defs.repository import defs

    job = defs.resolve_job_def(request.job)
    try:
        return job.execute_in_process(
            run_config=QUIET,
            instance=instance,
            partition_key=request.partition,
            tags={**request.tags, FOLLOWED_TAG: "true"},
        )
    except dg.DagsterError as error:
        if ours := _ours(error):
            raise ours from error
        hint = "See the run in Dagster: make dev"
        raise GateFailed(f"{request.name} was stopped: {error}", hint) from error  # by a blocking check, say


def _ours(error: BaseException | None) -> CampaignError | None:
    while error is not None and not isinstance(error, CampaignError):
        error = error.__cause__ or error.__context__
    return error
