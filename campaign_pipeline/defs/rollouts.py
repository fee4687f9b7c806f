"""Roll-outs, in Dagster: the job that decides on the next part of one."""

import dagster as dg

from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.presentation import table
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rollouts import advance, rollout_of
from campaign_pipeline.operations.rollouts_shown import parts_of


@dg.op(required_resource_keys={"installation"})
def decide_next_part(context: dg.OpExecutionContext) -> None:
    """Measure the parts so far, decide if it is time, and request the run of the next part."""
    installation: Installation = context.resources.installation
    choice, run_id = advance(installation, context.partition_key)
    context.log.info(f"{context.partition_key}: {run_id or 'waits'}: {choice.reason}")
    progress = rollout_of(installation, context.partition_key)
    context.log_event(
        dg.AssetObservation(
            "audience",
            partition=context.partition_key,
            metadata={
                "rollout": progress.state,
                "decided": choice.reason,
                "parts": table(parts_of(progress)),
            },
        )
    )


@dg.job(
    partitions_def=campaign_runs,
    executor_def=dg.in_process_executor,
    tags={"dagster/retry_strategy": "ALL_STEPS"},
    description="Decide on the next part of a roll-out, and request its run. Nothing is sent here.",
)
def advance_rollout() -> None:
    decide_next_part()
