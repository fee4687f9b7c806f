"""What contacts do with messages: day by day, lately, and by the month in which they were first reached."""

from datetime import date, timedelta

import polars as pl

from campaign_pipeline.analytics.event_days import EVENTS
from campaign_pipeline.analytics.models import files_source, lake_source, run_model
from campaign_pipeline.analytics.table_schemas import COHORT_RETENTION, CONTACT_ACTIVITY, CONTACT_ENGAGEMENT
from campaign_pipeline.core.lake import Lake

ACTIVITY = "contact_activity"
WINDOW = timedelta(days=364)
"""Before the newest day: what engagement looks back to, so that its cost does not grow with history."""

_MESSAGES = {"run_id": pl.String, "message_id": pl.String, "contact_id": pl.String}


def build_contact_activity(lake: Lake, day: str) -> pl.DataFrame:
    """What contacts did on `day` (CONTACT_ACTIVITY; sql/analytics/contact_activity.sql).

    Read are the day's events, and of the messages those of the runs that have some.
    """
    events = str(lake.path(EVENTS, day))
    runs = pl.scan_parquet(events, glob=False).select(pl.col("run_id").unique().sort()).collect()["run_id"]
    messages = [pl.LazyFrame(schema=_MESSAGES)] + [
        lake.scan("messages", run_id).select(pl.lit(run_id).alias("run_id"), "message_id", "contact_id")
        for run_id in runs
        if run_id and lake.exists("messages", run_id)
    ]
    sources = {"events": events, "messages": pl.concat(messages).collect()}
    return run_model(ACTIVITY, sources, {"day": day}, CONTACT_ACTIVITY)


def build_contact_engagement(lake: Lake) -> pl.DataFrame:
    """How contacts react lately (CONTACT_ENGAGEMENT; sql/analytics/contact_engagement.sql); no rows without a day."""
    days = lake.partitions(ACTIVITY)
    if not days:
        return pl.DataFrame(schema=CONTACT_ENGAGEMENT)
    first = str(date.fromisoformat(days[-1]) - WINDOW)
    files = [str(lake.path(ACTIVITY, day)) for day in days if day >= first]
    source = {"activity": files_source(files, CONTACT_ACTIVITY)}
    return run_model("contact_engagement", source, {"as_of": days[-1]}, CONTACT_ENGAGEMENT)


def build_cohort_retention(lake: Lake) -> pl.DataFrame:
    """Who still reacts months later (COHORT_RETENTION; sql/analytics/cohort_retention.sql). It reads every day."""
    source = {"activity": lake_source(lake, ACTIVITY, CONTACT_ACTIVITY)}
    return run_model("cohort_retention", source, schema=COHORT_RETENTION)
