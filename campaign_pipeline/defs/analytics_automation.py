"""What happens to figures without new events: purchases become conversions, contacts are summed up once a day."""

from collections.abc import Iterator

import dagster as dg

from campaign_pipeline.defs.automation import after_behaviour, measure_run, summarise_contacts
from campaign_pipeline.defs.resources import open_installation
from campaign_pipeline.operations.attribution import result_days, runs_with_new_behaviour


@dg.sensor(job=measure_run, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def new_behaviour(_context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
    """Count the conversions of runs anew in whose windows events were imported."""
    installation = open_installation()
    behind = {run: result_days(installation, run) for run in runs_with_new_behaviour(installation)}
    for request in after_behaviour(behind):
        # The minute is part of the key, so that one that failed is tried again though nothing new was imported.
        yield dg.RunRequest(
            run_key=f"{request.name}:behaviour:{installation.clock():%Y%m%d%H%M}",
            partition_key=request.partition,
            tags=dict(request.tags),
        )


@dg.schedule(job=summarise_contacts, cron_schedule="15 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def summarise_contacts_daily(_context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Sum up what contacts did, once a day: cohorts are the one table that reads every day there is."""
    return dg.RunRequest()


SENSORS = [new_behaviour]
SCHEDULES = [summarise_contacts_daily]
