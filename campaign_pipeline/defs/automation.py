"""What happens by itself: due campaigns start, new events flow through to results, failures are recorded.

What follows what is one pure function, `follow_ups`, so that the sensors here and a command that
waits (`launch`) do the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dagster as dg

from campaign_pipeline.campaigns.schedule import BY_SCHEDULE, due_runs
from campaign_pipeline.campaigns.store import request_run
from campaign_pipeline.core.database import writing
from campaign_pipeline.defs.conversions import SHARING_TAG
from campaign_pipeline.defs.doubts import CHANGED_TAG, look_at_doubts
from campaign_pipeline.defs.events import TOUCHED_DAYS, TOUCHED_RUNS
from campaign_pipeline.defs.figures import CONTACT_FIGURES, DAY_FIGURES, RUN_FIGURES
from campaign_pipeline.defs.partitions import campaign_runs, days, run_day
from campaign_pipeline.defs.resources import open_installation
from campaign_pipeline.events.ingest import pending_bytes
from campaign_pipeline.operations.doubts import runs_to_look_at
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
    ["touches", "conversions", "pre_period", "message_facts", "campaign_metrics", *RUN_FIGURES],
    description="Conversions, facts, metrics and the other figures of one run.",
)
compare_variants = _job(
    "compare_variants", ["ab_results"], description="The A/B result of one run as it stood at the end of one day."
)
publish_results = _job(
    "publish_results",
    ["campaign_report", "warehouse"],
    description="The report of one run, and the warehouse.",
)
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
    run_campaign,
    take_in_events,
    update_day,
    measure_run,
    compare_variants,
    publish_results,
    summarise_contacts,
    evaluate_all_segments,
    follow_touched_contacts,
    look_at_doubts,
]

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
TAKE_UP_SECONDS = 300
"""How often a campaign's run that is not finished is taken up again."""

LOOK_AGAIN_SECONDS = 3600
"""How often a look at doubts is tried again that failed."""

DAYS_TAG, RUNS_TAG = "campaigns/days", "campaigns/runs"
FOLLOWED_TAG = "campaigns/followed"
"""On a Dagster run whose starter sees to the follow-ups itself: the sensors leave them to it."""


@dataclass(frozen=True)
class Request:
    """A job to run next, with its partition and what it must hand on."""

    job: str
    partition: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        return f"{self.job}:{self.partition}" if self.partition else self.job


def after_events(touched_days: Iterable[str], touched_runs: Iterable[str]) -> list[Request]:
    """The days to write anew when events came in; the last of them goes on to the runs that were touched."""
    *others, last = sorted(set(touched_days) & set(days.get_partition_keys())) or [""]
    if not last:
        return []
    tags = {DAYS_TAG: ",".join([*others, last]), RUNS_TAG: ",".join(sorted(touched_runs))}
    return [*(Request(update_day.name, day) for day in others), Request(update_day.name, last, tags)]


def follow_ups(job: str, partition: str | None, tags: Mapping[str, str]) -> list[Request]:
    """What to run once `job` has succeeded: day -> facts of the touched runs -> their results by day -> publish.

    Facts also follow from doubts that were resolved without an event, and from another run that took credit for a
    conversion: credit follows from touches, which measuring does not change, so that this comes to an end.
    """
    touched_days = [day for day in tags.get(DAYS_TAG, "").split(",") if day]
    touched_runs = [run for run in tags.get(RUNS_TAG, "").split(",") if run]
    if job == update_day.name:
        return [Request(measure_run.name, run, {DAYS_TAG: tags[DAYS_TAG]}) for run in touched_runs]
    if job == measure_run.name and partition:
        *others, last = touched_days or [""]
        requests = [Request(compare_variants.name, str(run_day(partition, day))) for day in others]
        if last:
            requests.append(Request(compare_variants.name, str(run_day(partition, last)), {RUNS_TAG: partition}))
        sharing = [run for run in tags.get(SHARING_TAG, "").split(",") if run]
        return [*requests, *(Request(measure_run.name, run) for run in sharing)]
    if job == look_at_doubts.name and partition and CHANGED_TAG in tags:
        return [Request(measure_run.name, partition)]
    if job == compare_variants.name:
        return [Request(publish_results.name, run) for run in touched_runs]
    return []


def after_behaviour(behind: Mapping[str, Iterable[str]]) -> list[Request]:
    """Runs to measure anew when behaviour was imported: run -> the days for which it was compared."""
    return [Request(measure_run.name, run, {DAYS_TAG: ",".join(days)}) for run, days in behind.items()]


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


@dg.sensor(job=take_in_events, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def new_events(_context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Take in what the event receiver wrote to the inbox."""
    installation = open_installation()
    position, pending = pending_bytes(installation.engine, installation.settings.inbox_dir)
    if not pending:
        return dg.SkipReason("The inbox holds nothing new.")
    # The minute is part of the key, so that a take-in that failed is tried again though nothing new arrived.
    return dg.RunRequest(run_key=f"inbox:{position + pending}:{installation.clock():%Y%m%d%H%M}")


@dg.asset_sensor(
    asset_key=dg.AssetKey("received_events"),
    jobs=[update_day],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def touched_days(context: dg.SensorEvaluationContext, event: dg.EventLogEntry) -> Iterator[dg.RunRequest]:
    """Write the days anew that received events belong to, late ones included."""
    taken_in_by = context.instance.get_run_by_id(event.run_id)
    if taken_in_by and FOLLOWED_TAG in taken_in_by.tags:
        return
    metadata = event.asset_materialization.metadata if event.asset_materialization else {}
    requests = after_events(_listed(metadata, TOUCHED_DAYS), _listed(metadata, TOUCHED_RUNS))
    yield from (_run_request(request, cause=event.run_id) for request in requests)


def _listed(metadata: Mapping[str, dg.MetadataValue[Any]], key: str) -> list[str]:
    value = metadata[key].value if key in metadata else []
    assert isinstance(value, list)
    return [str(item) for item in value]


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[update_day, measure_run, compare_variants, look_at_doubts],
    request_jobs=[measure_run, compare_variants, publish_results],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def results_follow_events(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest]:
    """Facts, results and reports follow the days that changed."""
    finished = context.dagster_run
    if FOLLOWED_TAG in finished.tags:
        return
    partition = finished.tags.get("dagster/partition")
    requests = follow_ups(finished.job_name, partition, finished.tags)
    yield from (_run_request(request, cause=finished.run_id) for request in requests)


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


SENSORS = [due_campaigns, settle_doubts, new_events, touched_days, results_follow_events, failed_campaigns]
