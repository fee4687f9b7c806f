"""Figures of one run beside its metrics: each a table of its own, from the run's facts and events."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from campaign_pipeline.analytics.models import Source, conform, run_model
from campaign_pipeline.analytics.table_schemas import (
    CONTENT_PERFORMANCE,
    DELIVERABILITY,
    DELIVERY_ERRORS,
    FUNNEL,
    LINK_PERFORMANCE,
    REPLIES,
    RESPONSE_TIMES,
    STAGE_TIMES,
    SYSTEM_METRICS,
)

TEMPLATES = {"step": pl.Int16, "variant": pl.String, "template": pl.String}


@dataclass(frozen=True)
class RunFigures:
    """The tables of one run (columns: table_schemas; meanings: the heads of sql/analytics/*.sql).

    `facts` and `events`: message_facts and delivery_events of the run, of which other runs' rows do no harm.
    """

    run_id: str
    facts: pl.DataFrame
    events: Source

    def response_times(self) -> pl.DataFrame:
        return run_model("response_times", {"facts": self.facts}, schema=RESPONSE_TIMES)

    def replies(self) -> pl.DataFrame:
        return run_model("replies", self._both, {"run_id": self.run_id}, REPLIES)

    def link_performance(self) -> pl.DataFrame:
        return run_model("link_performance", self._both, {"run_id": self.run_id}, LINK_PERFORMANCE)

    def deliverability(self) -> pl.DataFrame:
        return run_model("deliverability", {"facts": self.facts}, schema=DELIVERABILITY)

    def delivery_errors(self) -> pl.DataFrame:
        return run_model("delivery_errors", {"facts": self.facts}, schema=DELIVERY_ERRORS)

    def funnel(self, metrics: pl.DataFrame) -> pl.DataFrame:
        """`metrics`: campaign_metrics of the run."""
        return run_model("funnel", {"metrics": metrics}, schema=FUNNEL)

    def content_performance(self, steps: Mapping[int, Mapping[str, str]]) -> pl.DataFrame:
        """`steps`: step -> variant -> template."""
        rows = [(step, variant, name) for step, names in steps.items() for variant, name in names.items()]
        templates = pl.DataFrame(rows, schema=TEMPLATES, orient="row")
        return run_model("content_performance", {"facts": self.facts, "templates": templates}, {}, CONTENT_PERFORMANCE)

    def system_metrics(self, times: pl.DataFrame, campaign: str, channel: str) -> pl.DataFrame:
        """`times`: STAGE_TIMES, what is recorded of the run's stages."""
        params = {"run_id": self.run_id, "campaign": campaign, "channel": channel}
        sources = self._both | {"times": conform(times, STAGE_TIMES)}
        return run_model("system_metrics", sources, params, SYSTEM_METRICS)

    @property
    def _both(self) -> dict[str, Source]:
        return {"facts": self.facts, "events": self.events}
