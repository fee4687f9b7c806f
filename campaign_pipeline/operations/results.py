"""What came of a run: facts, metrics and A/B results, each a function of the lake and the ledger."""

from datetime import date

import polars as pl

from campaign_pipeline.analytics.assignments import build_assignments
from campaign_pipeline.analytics.experiments.runs import ab_results, rules_of
from campaign_pipeline.analytics.facts import build_message_facts
from campaign_pipeline.analytics.metrics import (
    account,
    build_audience_summary,
    build_campaign_days,
    build_campaign_metrics,
)
from campaign_pipeline.analytics.models import partition_source
from campaign_pipeline.analytics.schemas import AB_RESULTS
from campaign_pipeline.analytics.table_schemas import CONVERSIONS
from campaign_pipeline.campaigns.store import Run, load_campaign, load_run, load_runs
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.messages.rates import read_prices
from campaign_pipeline.operations.assignments import expected_weights
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.message_states import first_day, states_of


def measure_facts(installation: Installation, run_id: str) -> pl.DataFrame:
    """Write message_facts of the run: one row a contact of its audience."""
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
    settings = installation.settings
    facts = build_message_facts(
        installation.lake,
        run_id,
        states_of(installation, run_id),
        channel=run.campaign.channel,
        converts=run.campaign.conversion is not None,
        prices=read_prices(settings.sms_rates, settings.email_cost_per_thousand),
        since=first_day(run),
    )
    installation.lake.write(facts, "message_facts", run_id)
    return facts


def measure_assignments(installation: Installation, run_id: str) -> pl.DataFrame:
    """Write assignments of the run, from its audience and facts: who was assigned to what, and who got it."""
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
    assignments = build_assignments(installation.lake, run)
    installation.lake.write(assignments, "assignments", run_id)
    return assignments


def measure_metrics(installation: Installation, run_id: str) -> pl.DataFrame:
    """Write campaign_metrics, campaign_days and audience_summary of the run, from its facts; the metrics."""
    lake = installation.lake
    facts = lake.read("message_facts", run_id)
    metrics = build_campaign_metrics(facts)
    lake.write(metrics, "campaign_metrics", run_id)
    conversions = partition_source(lake, "conversions", run_id, CONVERSIONS)
    lake.write(build_campaign_days(facts, conversions), "campaign_days", run_id)
    lake.write(build_audience_summary(facts), "audience_summary", run_id)
    return metrics


def compare(installation: Installation, run_id: str, day: date | None) -> pl.DataFrame:
    """The run's A/B result rows as of the end of `day` (UTC); None: today, or the newest day with a result."""
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
    campaign, lake = run.campaign, installation.lake
    if run.part and not run.part.randomised:
        return pl.DataFrame(schema=AB_RESULTS)  # all got what won: there is nothing to compare

    def source(asset: str) -> str | None:
        return str(lake.path(asset, run_id)) if lake.exists(asset, run_id) else None

    return ab_results(
        lake.read("message_facts", run_id),
        goal=campaign.goal,
        control=campaign.control,
        weights=expected_weights(installation, run),
        as_of_day=day or _newest_day(installation, run_id),
        decide_from=(run.as_of + campaign.decide_after).date(),
        rules=rules_of(campaign.analysis),
        conversions=source("conversions"),
        pre_period=source("pre_period"),
        revenue_cap=campaign.analysis.revenue_cap,
        name=campaign.experiment_name,
    )


def _newest_day(installation: Installation, run_id: str) -> date:
    days = [
        date.fromisoformat(path.stem)
        for path in installation.lake.path("ab_results", run_id).with_suffix("").glob("[0-9]*.parquet")
    ]
    return max([installation.clock().date(), *days])


def run_account(installation: Installation, run_id: str) -> dict[str, int]:
    """Where everyone in the run's segment went; Inconsistent if it does not add up."""
    lake = installation.lake
    return account(lake.read("audience_summary", run_id), lake.read("campaign_metrics", run_id))


def newest_measured(installation: Installation, campaign: str) -> Run:
    """The campaign's newest run that has metrics; NotFound says what there is instead."""
    with reading(installation.engine) as connection:
        load_campaign(connection, campaign)
        runs = load_runs(connection, campaign)
    for run in runs:
        if installation.lake.exists("campaign_metrics", run.run_id):
            return run
    waiting = f"{runs[0].run_id} is {runs[0].state}" if runs else "it never ran"
    raise NotFound(f"campaign {campaign!r} has no results yet: {waiting}", f"Run it: campaigns run {campaign} --wait")
