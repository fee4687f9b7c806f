"""Messages: every planned contact's message, rendered once and cut into batches."""

from typing import Any

import dagster as dg
import polars as pl

from campaign_pipeline.core.words import Channel
from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.presentation import Materialised, check_results, check_specs, code, table
from campaign_pipeline.messages.checks.finding import as_frame
from campaign_pipeline.messages.verify import GATE
from campaign_pipeline.operations.checks import NO_ERRORS, NO_WARNINGS
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rendering import write_messages
from campaign_pipeline.operations.runs import check_written, estimated_costs, preview_messages


@dg.asset(
    group_name="messages",
    kinds={"jinja2", "parquet"},
    partitions_def=campaign_runs,
    deps=["audience"],
    check_specs=check_specs("messages", [GATE, NO_ERRORS, NO_WARNINGS], not_blocking=[NO_WARNINGS]),
    owners=["team:marketing"],
)
def messages(context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]) -> Materialised:
    """One rendered message a planned contact, numbered and cut into the batches that will be sent."""
    run, rendered, gate = write_messages(installation, context.partition_key)
    findings, gates = check_written(installation, run, rendered)
    sums = rendered.select(
        messages=pl.len(), batches=pl.col("batch_no").n_unique(), sms_parts=pl.col("sms_parts").sum()
    ).collect()
    metadata: dict[str, Any] = {
        "dagster/row_count": int(sums["messages"].item()),
        "batches": int(sums["batches"].item()),
        "by_variant": table(rendered.group_by("variant").agg(messages=pl.len()).sort("variant").collect()),
        "preview": dg.MetadataValue.md(_preview(preview_messages(installation, run))),
    }
    if run.campaign.channel == Channel.SMS:
        metadata["sms_parts"] = int(sums["sms_parts"].item())
    if (costs := estimated_costs(installation, run, rendered)) is not None:
        metadata["estimated_costs"] = table(costs)
    if findings:
        metadata["findings"] = table(as_frame(findings))
    return Materialised(metadata=metadata, check_results=check_results([gate, *gates]))


def _preview(variants: dict[str, dict[str, str]]) -> str:
    """What a made-up contact would get, by variant and part."""
    pages: list[str] = []
    for variant, parts in variants.items():
        shown = (f"**{part}**\n\n{code(text)}" for part, text in parts.items())
        pages.append(f"### {variant} (to a made-up contact)\n\n" + "\n\n".join(shown))
    return "\n\n".join(pages)
