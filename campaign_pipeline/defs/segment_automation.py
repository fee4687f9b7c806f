"""What happens to segments by itself: new ones become partitions; members are worked out by the hour, or at once.

The last two are stopped until somebody starts them. With the near real time sensor the schedule is still needed: only a
full evaluation sees whom time moves (segments/touched.py).
"""

import dagster as dg

from campaign_pipeline.defs.automation import TOUCHED_ONLY, UNFINISHED, evaluate_all_segments, follow_touched_contacts
from campaign_pipeline.defs.partitions import segments
from campaign_pipeline.defs.resources import open_installation
from campaign_pipeline.operations.memberships import segment_names, touch_mark

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
"""Dagster's tags of a run that takes several partitions."""


def all_segments(instance: dg.DagsterInstance) -> dict[str, str]:
    """The tags of a run that takes every segment's partition; empty without one."""
    there = instance.get_dynamic_partitions(segments.name or "")
    return {RANGE_START: there[0], RANGE_END: there[-1]} if there else {}


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def applied_segments(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Give every segment that was applied its partition."""
    there = set(context.instance.get_dynamic_partitions(segments.name or ""))
    new = [name for name in segment_names(open_installation()) if name not in there]
    if not new:
        return dg.SkipReason("No segment is new.")
    return dg.SensorResult(dynamic_partitions_requests=[segments.build_add_request(new)])


@dg.schedule(job=evaluate_all_segments, cron_schedule="0 * * * *", default_status=dg.DefaultScheduleStatus.STOPPED)
def evaluate_segments_hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Work out who is in every segment, once an hour."""
    every = all_segments(context.instance)
    return dg.RunRequest(tags=every) if every else dg.SkipReason("There is no segment yet.")


@dg.sensor(job=follow_touched_contacts, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.STOPPED)
def touched_contacts(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Bring the segments up to date as soon as contacts changed or have new events: near real time."""
    every = all_segments(context.instance)
    if not every:
        return dg.SkipReason("There is no segment yet.")
    last = next(iter(context.instance.get_runs(dg.RunsFilter(job_name=follow_touched_contacts.name), limit=1)), None)
    if last and last.status in UNFINISHED:
        return dg.SkipReason("Contacts touched before are being looked at; new ones are next.")
    installation = open_installation()
    mark = touch_mark(installation)
    if mark == context.cursor and not (last and last.status == dg.DagsterRunStatus.FAILURE):
        return dg.SkipReason("Nobody was touched.")
    # The minute is part of the key, so that a run that failed is tried again though nothing new came in.
    key = f"{mark}:{installation.clock():%Y%m%d%H%M}"
    request = dg.RunRequest(run_key=key, run_config=TOUCHED_ONLY, tags=every)
    return dg.SensorResult(run_requests=[request], cursor=mark)


SENSORS = [applied_segments, touched_contacts]
SCHEDULES = [evaluate_segments_hourly]
