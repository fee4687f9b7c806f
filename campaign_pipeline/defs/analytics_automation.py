"""What happens to figures without new events: purchases become conversions, contacts are summed up once a day."""

import dagster as dg

from campaign_pipeline.defs.automation import measure_run, summarise_contacts
from campaign_pipeline.defs.resources import open_installation
from campaign_pipeline.operations.attribution import note_new_behaviour


@dg.sensor(job=measure_run, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def new_behaviour(_context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Note the runs in whose windows events were imported; stale_results counts their conversions anew."""
    noted = note_new_behaviour(open_installation())
    return dg.SkipReason(f"Noted: {', '.join(noted)}." if noted else "Nothing was imported that concerns a run.")


@dg.schedule(job=summarise_contacts, cron_schedule="15 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def summarise_contacts_daily(_context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Sum up what contacts did, once a day: cohorts are the one table that reads every day there is."""
    return dg.RunRequest()


SENSORS = [new_behaviour]
SCHEDULES = [summarise_contacts_daily]
