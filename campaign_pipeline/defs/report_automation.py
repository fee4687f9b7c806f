"""The report of the last days, by itself."""

import dagster as dg

from campaign_pipeline.defs.automation import publish_recent


@dg.schedule(job=publish_recent, cron_schedule="30 5 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def publish_recent_daily(_context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Write the report of the last days before anybody comes to work: it reads what is there, and measures nothing."""
    return dg.RunRequest()


SCHEDULES = [publish_recent_daily]
