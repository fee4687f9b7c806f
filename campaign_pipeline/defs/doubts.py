"""Messages in doubt, in Dagster: what is shown of them, and the job that looks at those of runs at rest."""

from typing import Any

import dagster as dg

from campaign_pipeline.campaigns.store import load_run
from campaign_pipeline.core.database import reading
from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.presentation import table
from campaign_pipeline.operations.doubts import doubts_in, has_doubts
from campaign_pipeline.operations.doubts_shown import summary_of
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.sending import settle

CHANGED_TAG = "campaigns/doubts_changed"
"""On a run of the job that resolved or decided something: the figures of the campaign's run are measured anew."""


def doubts_metadata(installation: Installation, run_id: str) -> dict[str, Any]:
    """Tables of the run's doubts (by code and time of claim) and of how others were resolved; none without any."""
    if not has_doubts(installation, run_id):
        return {}
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
    found = doubts_in(installation, run)
    shown = {"doubts_by_claim": summary_of(found), "doubts_resolved": found.resolved}
    return {name: table(frame) for name, frame in shown.items() if frame.height}


@dg.op(required_resource_keys={"installation"})
def look_at(context: dg.OpExecutionContext) -> None:
    """Ask about the doubts that are due, decide those whose window is over, and show where the run's messages are."""
    installation: Installation = context.resources.installation
    run_id = context.partition_key
    settled, settlement = settle(installation, run_id)
    decided = settlement.decided
    context.log.info(
        f"{run_id}: {settlement.doubts} in doubt, {settlement.asked} asked about, {settlement.found} found,"
        f" {decided.sent_again} to be sent once more, {decided.given_up} left unknown"
    )
    context.log_event(
        dg.AssetObservation(
            "dispatch",
            partition=run_id,
            metadata={
                **settled.counts(),
                "outcomes": table(settled.as_frame()),
                "state": str(settled.state),
                **doubts_metadata(installation, run_id),
            },
        )
    )
    if settlement.changed:
        context.instance.add_run_tags(context.run_id, {CHANGED_TAG: str(settlement.changed)})


@dg.job(
    partitions_def=campaign_runs,
    executor_def=dg.in_process_executor,
    tags={"dagster/retry_strategy": "ALL_STEPS"},
    description="Look at the doubts of one run: ask, and decide. Nothing is sent here.",
)
def look_at_doubts() -> None:
    look_at()
