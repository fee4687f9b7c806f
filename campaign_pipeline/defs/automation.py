"""What happens by itself: due campaigns start, new events flow through to results, failures are recorded.

What events make stale is seen to in `freshness`.
"""

from collections.abc import Iterator, Mapping
from functools import partial

import dagster as dg

from campaign_pipeline.campaigns.schedule import BY_SCHEDULE, due_runs
from campaign_pipeline.campaigns.store import request_run
from campaign_pipeline.core.database import writing
from campaign_pipeline.defs.doubts import CHANGED_TAG, look_at_doubts
from campaign_pipeline.defs.figures import CONTACT_FIGURES, DAY_FIGURES, RUN_FIGURES
from campaign_pipeline.defs.freshness import UNFINISHED, Request, requests
from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.resources import open_installation
from campaign_pipeline.defs.rollouts import advance_rollout
from campaign_pipeline.events.ingest import pending_bytes
from campaign_pipeline.operations.doubts import runs_to_look_at
from campaign_pipeline.operations.rollouts import LOOK_EVERY, due_rollouts
from campaign_pipeline.operations.runs import mark_failed, running_runs, waiting_runs

EVERY_REPEAT_IS_WHOLE = {"dagster/retry_strategy": "ALL_STEPS"}
"""Resuming from a failure can skip work and say SUCCESS; the ledger makes the whole repeat safe."""


_job = partial(dg.define_asset_job, tags=EVERY_REPEAT_IS_WHOLE, executor_def=dg.in_process_executor)

IN_ONE_PROCESS = {"execution": {"config": {"in_process": {}}}}

run_campaign = dg.define_asset_job(
    "run_campaign",
    ["contact_snapshot", "segment_members", "audience", "messages", "dispatch"],
    tags=EVERY_REPEAT_IS_WHOLE,
    executor_def=dg.multi_or_in_process_executor,
    config=IN_ONE_PROCESS,
    description="One run of a campaign: freeze its audience, render its messages, send what is not sent yet.",
)
take_in_events = _job(
    "take_in_events", ["received_events"], description="Normalise what the inbox received since the last time."
)
update_day = _job(
    "update_day",
    ["delivery_events", *DAY_FIGURES],
    description="Write the events of one day anew, and what contacts did on it.",
)
measure_run = _job(
    "measure_run",
    ["touches", "conversions", "pre_period", "message_facts", "assignments", "campaign_metrics", *RUN_FIGURES],
    description="Conversions, facts, assignments, metrics and the other figures of one run.",
)
compare_variants = _job(
    "compare_variants", ["ab_results"], description="The A/B result of one run as it stood at the end of one day."
)
publish_results = _job(
    "publish_results",
    ["campaign_report", "warehouse"],
    description="The report of one run, and the warehouse.",
)
publish_recent = _job("publish_recent", ["recent_report"], description="The report of all runs of the last days.")
summarise_contacts = _job(
    "summarise_contacts",
    [*CONTACT_FIGURES],
    description="How contacts react lately, and who still does months later.",
)
TOUCHED_ONLY = {"ops": {"segment_membership": {"config": {"touched_only": True}}}}
evaluate_all_segments = _job(
    "evaluate_segments",
    ["contact_snapshot", "segment_features", "segment_membership"],
    description="Who is in the segments now, of all contacts.",
)
follow_touched_contacts = _job(
    "follow_touched_contacts",
    ["contact_snapshot", "segment_membership"],
    config=TOUCHED_ONLY,
    description="Bring the segments up to date for contacts that changed or have new events.",
)
JOBS = [
    advance_rollout,
    run_campaign,
    take_in_events,
    update_day,
    measure_run,
    compare_variants,
    publish_results,
    publish_recent,
    summarise_contacts,
    evaluate_all_segments,
    follow_touched_contacts,
    look_at_doubts,
]

TAKE_UP_SECONDS = 300
"""How often a campaign's run that is not finished is taken up again."""

LOOK_AGAIN_SECONDS = 3600
"""How often a look at doubts is tried again that failed."""


def follow_ups(job: str, partition: str | None, tags: Mapping[str, str]) -> list[Request]:
    """What to run once `job` has succeeded, beside what events make stale: facts follow from doubts, too."""
    if job == look_at_doubts.name and partition and CHANGED_TAG in tags:
        return [Request(measure_run.name, partition)]
    return []


@dg.sensor(jobs=[run_campaign], minimum_interval_seconds=10, default_status=dg.DefaultSensorStatus.RUNNING)
def due_campaigns(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Start the runs that schedules ask for, those that somebody requested, and take up those that were left behind."""
    installation = open_installation()
    with writing(installation.engine) as connection:
        now = installation.clock()
        asked = due_runs(connection, now)
        for due in asked.due:
            request_run(connection, due.campaign, due.as_of, requested_by=BY_SCHEDULE, at=now)
    workers = installation.settings.dispatch_workers
    config = {"execution": {"config": {"multiprocess": {"max_concurrent": workers}}}} if workers > 1 else IN_ONE_PROCESS
    keys = {run: f"{run}:{change}" for run, change in waiting_runs(installation).items()}
    # A run whose process died, or with messages that were not due or in flight then, is taken up again.
    again = int(now.timestamp() // TAKE_UP_SECONDS)
    keys |= {run: f"{run}:again:{again}" for run in running_runs(installation) - _under_way(context.instance)}
    for left_out in asked.left_out:
        context.log.warning(str(left_out))
    if not keys:
        return dg.SkipReason(" ".join(["No campaign is due.", *(f"{each}." for each in asked.left_out)]))
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=key, job_name=run_campaign.name, partition_key=run, run_config=config)
            for run, key in keys.items()
        ],
        dynamic_partitions_requests=[campaign_runs.build_add_request(list(keys))],
    )


def _under_way(instance: dg.DagsterInstance) -> set[str]:
    """Runs of campaigns that Dagster is busy with, or is about to be."""
    runs = instance.get_runs(dg.RunsFilter(job_name=run_campaign.name, statuses=UNFINISHED))
    return {run.tags["dagster/partition"] for run in runs if "dagster/partition" in run.tags}


@dg.sensor(job_name=look_at_doubts.name, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def settle_doubts(_context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Look at the doubts of runs that are completed or stopped, when they are due. Runs under way see to their own."""
    installation = open_installation()
    due = runs_to_look_at(installation)
    if not due:
        return dg.SkipReason("No doubt is due.")
    # Once for each look, and again after a while if that came to nothing.
    again = int(installation.clock().timestamp() // LOOK_AGAIN_SECONDS)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"{run}:doubts:{since:%Y%m%d%H%M%S}:{again}", partition_key=run)
            for run, since in due.items()
        ],
        dynamic_partitions_requests=[campaign_runs.build_add_request(list(due))],
    )


@dg.sensor(job_name=advance_rollout.name, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def due_parts(_context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Decide on the next part of roll-outs that are due; the run that follows is started by due_campaigns."""
    installation = open_installation()
    due = due_rollouts(installation)
    if not due:
        return dg.SkipReason("No roll-out is due.")
    # One that waits for more figures is looked at again after a while.
    again = int(installation.clock().timestamp() // LOOK_EVERY.total_seconds())
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"{run}:rollout:{since:%Y%m%d%H%M%S}:{again}", partition_key=run)
            for run, since in due.items()
        ],
        dynamic_partitions_requests=[campaign_runs.build_add_request(list(due))],
    )


@dg.sensor(job=take_in_events, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def new_events(_context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Take in what the event receiver wrote to the inbox."""
    installation = open_installation()
    position, pending = pending_bytes(installation.engine, installation.settings.inbox_dir)
    if not pending:
        return dg.SkipReason("The inbox holds nothing new.")
    # The minute is part of the key, so that a take-in that failed is tried again though nothing new arrived.
    return dg.RunRequest(run_key=f"inbox:{position + pending}:{installation.clock():%Y%m%d%H%M}")


@dg.sensor(
    jobs=[update_day, measure_run, compare_variants, publish_results],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def stale_results(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Write anew what events made stale, late ones included: days, facts, results, reports."""
    asked = requests(context.instance, open_installation().engine)
    return dg.SensorResult(run_requests=asked) if asked else dg.SkipReason("Nothing is stale, or it is seen to.")


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[look_at_doubts],
    request_jobs=[measure_run],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def results_follow_doubts(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest]:
    """Facts follow the doubts that were resolved."""
    finished = context.dagster_run
    partition = finished.tags.get("dagster/partition")
    requested = follow_ups(finished.job_name, partition, finished.tags)
    yield from (_run_request(request, cause=finished.run_id) for request in requested)


def _run_request(request: Request, cause: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{cause}:{request.name}",
        job_name=request.job,
        partition_key=request.partition,
        tags=dict(request.tags),
    )


@dg.run_failure_sensor(
    monitored_jobs=[run_campaign], minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING
)
def failed_campaigns(context: dg.RunFailureSensorContext) -> None:
    """Mark the campaign's run as failed, with the reason, however its process ended."""
    partition = context.dagster_run.tags.get("dagster/partition")
    if partition:
        mark_failed(open_installation(), partition, context.failure_event.message or "its process ended")


SENSORS = [due_campaigns, due_parts, settle_doubts, new_events, stale_results, results_follow_doubts, failed_campaigns]
