"""Dispatch: a few workers a channel, between a plan and a settlement that compares the ledger with the plan.

The ledger decides what is left to send and who sends it, so every way of running this again is safe: a retry, a
second materialisation, a double click, two of them at once.
"""

from collections.abc import Generator
from typing import Any

import dagster as dg
import polars as pl

from campaign_pipeline.core.errors import Unavailable
from campaign_pipeline.core.progress import overhearing
from campaign_pipeline.core.words import Channel
from campaign_pipeline.defs.doubts import doubts_metadata
from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.presentation import table
from campaign_pipeline.defs.promises import CHECKS, SPECS
from campaign_pipeline.dispatch.account import RunAccount
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.runs import plan_dispatch
from campaign_pipeline.operations.senders import held_back_run
from campaign_pipeline.operations.sending import send_channel, settle_run
from campaign_pipeline.operations.sending_log import SendingLog


@dg.op(
    ins={"messages": dg.In(dg.Nothing)},
    out={channel.value: dg.DynamicOut(str, is_required=False) for channel in Channel},
    required_resource_keys={"installation"},
)
def plan(context: dg.OpExecutionContext) -> Generator[dg.DynamicOutput[str]]:
    """Verify the gates, write the plan into the ledger, and hand the run to the workers of its channels."""
    installation = _installation(context)
    run = plan_dispatch(installation, context.partition_key)
    for channel, _ in run.campaign.steps:
        for number in range(installation.settings.dispatch_workers):
            yield dg.DynamicOutput(run.run_id, mapping_key=f"worker_{number}", output_name=channel.value)


DATABASE_SECONDS = 10.0
"""How long a worker waits for a database that is away, before it begins anew."""


def _sender(channel: Channel) -> dg.OpDefinition:
    @dg.op(name=f"send_{channel.value}", pool=f"send_{channel.value}", required_resource_keys={"installation"})
    def send(context: dg.OpExecutionContext, run_id: str) -> str:
        name = f"{context.run_id}:{context.get_mapping_key() or context.op.name}:{context.retry_number}"
        installation = _installation(context)
        try:
            with overhearing(SendingLog(context.log.info, run_id, installation.clock)):
                sent = send_channel(installation, run_id, channel, worker_name=name)
        except Unavailable as error:  # a database that is restarted is back soon, and the ledger knows what is left
            raise dg.RetryRequested(max_retries=5, seconds_to_wait=DATABASE_SECONDS) from error
        context.log.info(f"{run_id}: {sent}")
        return run_id

    return send


SENDERS = {channel.value: _sender(channel) for channel in Channel}


@dg.op
def finish(workers: list[str]) -> int:
    """How many workers of a channel are done. A list of these can lack some; a channel without workers is left out."""
    return len(workers)


@dg.op(required_resource_keys={"installation"})
def settle(context: dg.OpExecutionContext, workers: list[int]) -> dg.Output[None]:
    """Resolve what doubt can be resolved; compare ledger and plan; fail on any difference."""
    context.log.info(f"{sum(workers)} workers are done")
    settled = settle_run(_installation(context), context.partition_key)
    held = held_back_run(_installation(context), context.partition_key) if settled.pending else None
    return dg.Output(
        None,
        metadata={
            "dagster/row_count": settled.planned,
            **settled.counts(),
            "outcomes": table(settled.as_frame()),
            **_throughput(settled, is_held=held is not None),
            "state": str(settled.state),
            **doubts_metadata(_installation(context), context.partition_key),
            **({"held_back": f"{held.why}. {held.hint}"} if held else {}),
        },
    )


@dg.graph_asset(
    group_name="dispatch",
    kinds={"twilio", "sendgrid"},
    partitions_def=campaign_runs,
    ins={"messages": dg.AssetIn(dagster_type=dg.Nothing)},
    check_specs=SPECS,
    tags={"dagster/retry_strategy": "ALL_STEPS"},
)
def dispatch(messages: None) -> dict[str, Any]:
    """Every planned message handed to its provider once; what became of each is in the ledger."""
    channels = plan(messages)._asdict()
    done = {name: finish.alias(f"finish_{name}") for name in SENDERS}
    settled = settle([done[name](work.map(SENDERS[name]).collect()) for name, work in channels.items()])
    return {"result": settled, **{name: check(settled) for name, check in CHECKS.items()}}


def _throughput(settled: RunAccount, *, is_held: bool) -> dict[str, dg.MetadataValue[Any]]:
    """How the run goes on, of all its workers together; numbers are always there, so that they plot over time."""
    pace = settled.throughput
    if pace is None:
        return {}
    moments = {"estimated_end": None if is_held else pace.estimated_end, "next_wave_at": pace.next_wave_at}
    return {
        "remaining": dg.MetadataValue.int(pace.remaining),
        "rate": dg.MetadataValue.float(pace.rate),
        "rate_overall": dg.MetadataValue.float(pace.rate_overall),
        "doubts": dg.MetadataValue.int(settled.in_doubt),
        **{name: dg.MetadataValue.timestamp(moment) for name, moment in moments.items() if moment},
        **({"errors": table(pl.DataFrame(pace.errors))} if pace.errors else {}),
    }


def _installation(context: dg.OpExecutionContext) -> Installation:
    return context.resources.installation
