"""Assignment facts: who was assigned to what in a run's experiment, and who got its message."""

import polars as pl

from campaign_pipeline.analytics.models import run_model
from campaign_pipeline.analytics.schemas import ASSIGNED, ASSIGNMENTS
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core.lake import Lake


def build_assignments(lake: Lake, run: Run) -> pl.DataFrame:
    """The assignments of `run` (schemas.ASSIGNMENTS; meanings: sql/analytics/assignments.sql), from what was frozen and
    its message facts. NotFound without these.
    """
    campaign = run.campaign
    audience = lake.scan("audience", run.run_id)
    there = audience.collect_schema()  # frozen by an earlier version of the product, all was first there
    absent = [pl.lit(None, kind).alias(name) for name, kind in ASSIGNED.items() if name not in there]
    params = {
        "run_id": run.run_id,
        "campaign": campaign.campaign,
        "experiment": campaign.experiment_name,
        "layer": campaign.design.layer,
    }
    sources = {
        "audience": audience.with_columns(absent).select(*ASSIGNED).collect(),
        "facts": lake.scan("message_facts", run.run_id).select("contact_id", "accepted_at").collect(),
    }
    return run_model("assignments", sources, params, ASSIGNMENTS)
