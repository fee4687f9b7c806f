"""Campaign metrics, and the account in which every contact of a run appears exactly once."""

import polars as pl

from campaign_pipeline.analytics.models import Source, run_model
from campaign_pipeline.analytics.schemas import AUDIENCE_SUMMARY, CAMPAIGN_DAYS, CAMPAIGN_METRICS
from campaign_pipeline.analytics.table_schemas import CONVERSIONS
from campaign_pipeline.core.errors import Inconsistent
from campaign_pipeline.core.words import HELD_OUT, AudienceStatus

PARTS = ("accepted", "failed", "suppressed_late", "in_doubt", "in_flight", "waiting")
"""Where a planned message can be: exactly one of these."""


def build_campaign_metrics(facts: pl.DataFrame) -> pl.DataFrame:
    """Figures by variant (schemas.CAMPAIGN_METRICS; meanings: sql/analytics/campaign_metrics.sql)."""
    return run_model("campaign_metrics", {"facts": facts}, schema=CAMPAIGN_METRICS)


def build_campaign_days(facts: pl.DataFrame, conversions: Source | None = None) -> pl.DataFrame:
    """First events by variant and day (schemas.CAMPAIGN_DAYS; meanings: sql/analytics/campaign_days.sql)."""
    counted = pl.DataFrame(schema=CONVERSIONS) if conversions is None else conversions
    return run_model("campaign_days", {"facts": facts, "conversions": counted}, schema=CAMPAIGN_DAYS)


def build_audience_summary(facts: pl.DataFrame) -> pl.DataFrame:
    """Contacts by status and reason (schemas.AUDIENCE_SUMMARY; meanings: sql/analytics/audience_summary.sql)."""
    return run_model("audience_summary", {"facts": facts}, schema=AUDIENCE_SUMMARY)


def account(audience: pl.DataFrame, metrics: pl.DataFrame) -> dict[str, int]:
    """Where everyone in the segment went, from a run's audience summary and campaign metrics.

    contacts = planned + held_out + held_out_globally + reserved + left_out
    planned  = accepted + failed + suppressed_late + in_doubt + in_flight + waiting

    Raises Inconsistent when they do not add up: a state that nobody counts must not pass in silence.
    """
    by_status = dict.fromkeys(AudienceStatus, 0)
    for status, contacts in audience.select("status", "contacts").iter_rows():
        by_status[status] = by_status.get(status, 0) + contacts
    planned = by_status[AudienceStatus.PLANNED]
    held_out = {status.value: by_status[status] for status in HELD_OUT}
    contacts = sum(by_status.values())
    counted = {part: int(metrics[part].sum()) for part in PARTS}
    if planned != int(metrics["planned"].sum()) or planned != sum(counted.values()):
        raise Inconsistent(
            f"planned {planned} is not the sum of {counted}",
            "The ledger has a state that campaign_metrics.sql does not count, or the frames are of different runs.",
        )
    reserved = by_status[AudienceStatus.RESERVED]
    left_out = contacts - planned - reserved - sum(held_out.values())
    return {
        "contacts": contacts,
        "left_out": left_out,
        **held_out,
        "reserved": reserved,
        "planned": planned,
        **counted,
    }
