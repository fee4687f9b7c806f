"""The tables of analysts beside facts, metrics and results, each an asset; those of one grain are written together."""

from collections.abc import Iterator, Mapping

import dagster as dg

from campaign_pipeline.defs.partitions import campaign_runs, days
from campaign_pipeline.defs.presentation import Materialised, table
from campaign_pipeline.operations.figures import Tables, figures_of_contacts, figures_of_day, figures_of_run
from campaign_pipeline.operations.installation import Installation

DAY_FIGURES = {
    "event_days": "How many events of each kind there were on one day, by run; the index of a run's days.",
    "contact_activity": "What contacts did with messages on one day, hour by hour.",
}
RUN_FIGURES = {
    "funnel": "How far the contacts of the run came, stage by stage.",
    "response_times": "How soon contacts reacted: distribution and median by variant.",
    "replies": "What contacts answered, by the class of its keyword.",
    "link_performance": "Which links were clicked, and by how many.",
    "content_performance": "How each template did, in each of its languages.",
    "deliverability": "How the mailbox providers took the run's messages, by recipient domain.",
    "delivery_errors": "Why messages were not delivered, by class and code.",
    "holdout_lift": "Conversions of those who were sent to beside those who deliberately were not.",
    "system_metrics": "How long each stage of the run took, how much went through it, and what it cost.",
}
CONTACT_FIGURES = {
    "contact_engagement": "How each contact reacts to messages lately: recency, frequency, score, best hour.",
    "cohort_retention": "Of the contacts first reached in a month, how many still react months later.",
}
SHOWN = frozenset({"funnel", "response_times", "deliverability", "delivery_errors", "holdout_lift", "system_metrics"})
"""Those whose rows are few enough to be looked at in Dagster."""


def _specs(figures: Mapping[str, str], deps: list[str | dg.AssetDep]) -> list[dg.AssetSpec]:
    return [
        dg.AssetSpec(
            name,
            deps=deps,
            description=description,
            group_name="analytics",
            kinds={"duckdb", "parquet"},
            owners=["team:data"],
        )
        for name, description in figures.items()
    ]


def _materialised(tables: Tables) -> Iterator[Materialised]:
    for name, frame in tables.items():
        metadata: dict[str, int | dg.MarkdownMetadataValue] = {"dagster/row_count": frame.height}
        if name in SHOWN:
            metadata["rows"] = table(frame.drop("run_id", "campaign"))
        yield Materialised(asset_key=name, metadata=metadata)


@dg.multi_asset(partitions_def=days, specs=_specs(DAY_FIGURES, ["delivery_events"]))
def day_figures(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> Iterator[Materialised]:
    yield from _materialised(figures_of_day(installation, context.partition_key))


@dg.multi_asset(partitions_def=campaign_runs, specs=_specs(RUN_FIGURES, ["message_facts", "campaign_metrics"]))
def run_figures(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> Iterator[Materialised]:
    yield from _materialised(figures_of_run(installation, context.partition_key))


@dg.multi_asset(
    specs=_specs(CONTACT_FIGURES, [dg.AssetDep("contact_activity", partition_mapping=dg.AllPartitionMapping())])
)
def contact_figures(installation: dg.ResourceParam[Installation]) -> Iterator[Materialised]:
    yield from _materialised(figures_of_contacts(installation))
