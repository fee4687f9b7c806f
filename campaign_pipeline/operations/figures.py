"""The tables of analysts beside facts, metrics and results: of a day, of a run, and of all contacts."""

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.analytics.engagement import (
    build_cohort_retention,
    build_contact_activity,
    build_contact_engagement,
)
from campaign_pipeline.analytics.event_days import build_event_days, event_files
from campaign_pipeline.analytics.holdout import build_holdout_lift
from campaign_pipeline.analytics.models import files_source
from campaign_pipeline.analytics.run_figures import RunFigures
from campaign_pipeline.analytics.schemas import DELIVERY_EVENTS
from campaign_pipeline.analytics.table_schemas import STAGE_TIMES
from campaign_pipeline.campaigns.store import load_run
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.tables import batch_outcomes, claims, outcomes, plans, runs, stage_times
from campaign_pipeline.dispatch.ledger import Source
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.message_states import first_day

Tables = dict[str, pl.DataFrame]
"""By name of the lake asset, as they were written."""


def figures_of_day(installation: Installation, day: str) -> Tables:
    """Write event_days and contact_activity of `day` (YYYY-MM-DD) from its events."""
    lake = installation.lake
    counted, activity = build_event_days(lake, day), build_contact_activity(lake, day)
    lake.write(activity, "contact_activity", day)
    lake.write(counted, "event_days", day)
    return {"event_days": counted, "contact_activity": activity}


def figures_of_run(installation: Installation, run_id: str) -> Tables:
    """Write the tables of the run that follow from its facts, metrics and events."""
    lake = installation.lake
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
    campaign = run.campaign
    events = files_source(event_files(lake, run_id, first_day(run)), DELIVERY_EVENTS)
    figures = RunFigures(run_id, lake.read("message_facts", run_id), events)
    steps = {step: names for step, (_, names) in enumerate(campaign.steps)}
    times = _stage_times(installation, run_id, figures.facts)
    tables = {
        "funnel": figures.funnel(lake.read("campaign_metrics", run_id)),
        "response_times": figures.response_times(),
        "replies": figures.replies(),
        "link_performance": figures.link_performance(),
        "content_performance": figures.content_performance(steps),
        "deliverability": figures.deliverability(),
        "delivery_errors": figures.delivery_errors(),
        "holdout_lift": build_holdout_lift(figures.facts),
        "system_metrics": figures.system_metrics(times, campaign.campaign, campaign.channel.value),
    }
    lake.write(tables["funnel"], "funnel", run_id)
    lake.write(tables["response_times"], "response_times", run_id)
    lake.write(tables["replies"], "replies", run_id)
    lake.write(tables["link_performance"], "link_performance", run_id)
    lake.write(tables["content_performance"], "content_performance", run_id)
    lake.write(tables["deliverability"], "deliverability", run_id)
    lake.write(tables["delivery_errors"], "delivery_errors", run_id)
    lake.write(tables["holdout_lift"], "holdout_lift", run_id)
    lake.write(tables["system_metrics"], "system_metrics", run_id)
    return tables


def figures_of_contacts(installation: Installation) -> Tables:
    """Write contact_engagement and cohort_retention, as of the newest day with activity."""
    lake = installation.lake
    engagement, retention = build_contact_engagement(lake), build_cohort_retention(lake)
    lake.write(engagement, "contact_engagement")
    lake.write(retention, "cohort_retention")
    return {"contact_engagement": engagement, "cohort_retention": retention}


def _stage_times(installation: Installation, run_id: str, facts: pl.DataFrame) -> pl.DataFrame:
    """STAGE_TIMES: what was recorded of freezing and rendering, and what runs, plan and ledger tell."""
    newest = sa.union_all(
        *(
            sa.select(table.c.recorded_at).where(table.c.run_id == run_id, table.c.source == Source.SEND.value)
            for table in (outcomes, batch_outcomes)
        )
    ).subquery()
    first_claim = sa.select(sa.func.min(claims.c.claimed_at)).where(claims.c.run_id == run_id)
    with reading(installation.engine) as connection:
        query = sa.select(stage_times).where(stage_times.c.run_id == run_id)
        rows = [(row.stage, row.started_at, row.finished_at, row.items) for row in connection.execute(query)]
        requested = connection.execute(sa.select(runs.c.created_at).where(runs.c.run_id == run_id)).scalar_one()
        plan = connection.execute(sa.select(plans).where(plans.c.run_id == run_id)).one_or_none()
        begun = connection.execute(first_claim).scalar_one()
        done = connection.execute(sa.select(sa.func.max(newest.c.recorded_at))).scalar_one()
    if plan is not None:
        rows.append(("prepare", requested, plan.planned_at, plan.messages))
    if begun is not None and done is not None:
        rows.append(("dispatch", begun, done, int(facts["accepted"].sum())))
    return pl.DataFrame(rows, schema=STAGE_TIMES, orient="row")
