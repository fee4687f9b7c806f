"""Dispatch: one op a channel, between a plan and a settlement that compares the ledger with the plan.

The ledger decides what is left to send, so every way of running this again is safe: a retry, a
second materialisation, a double click.
"""

from collections.abc import Generator

import dagster as dg

from campaign_pipeline.core.words import Channel
from campaign_pipeline.defs.partitions import campaign_runs
from campaign_pipeline.defs.presentation import table
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.runs import plan_dispatch, send_channel, settle_run


@dg.op(
    ins={"messages": dg.In(dg.Nothing)},
    out={channel.value: dg.Out(str, is_required=False) for channel in Channel},
    required_resource_keys={"installation"},
)
def plan(context: dg.OpExecutionContext) -> Generator[dg.Output[str]]:
    """Verify the gates, write the plan into the ledger, and hand the run to its channel."""
    run = plan_dispatch(_installation(context), context.partition_key)
    yield dg.Output(run.run_id, output_name=run.campaign.channel.value)


def _sender(channel: Channel) -> dg.OpDefinition:
    @dg.op(name=f"send_{channel.value}", pool=f"send_{channel.value}", required_resource_keys={"installation"})
    def send(context: dg.OpExecutionContext, run_id: str) -> str:
        sent = send_channel(_installation(context), run_id, channel, worker_name=f"{context.run_id}:{context.op.name}")
        context.log.info(f"{run_id}: {sent}")
        return run_id

    return send


send_email, send_sms, send_whatsapp = (_sender(channel) for channel in Channel)


@dg.op(required_resource_keys={"installation"})
def settle(context: dg.OpExecutionContext, run_ids: list[str]) -> dg.Output[None]:
    """Resolve what doubt can be resolved; compare ledger and plan; fail on any difference."""
    settled = settle_run(_installation(context), run_ids[0])
    return dg.Output(
        None,
        metadata={
            "dagster/row_count": settled.planned,
            **settled.counts(),
            "outcomes": table(settled.as_frame()),
            "state": str(settled.state),
        },
    )


@dg.graph_asset(
    group_name="dispatch",
    kinds={"twilio", "sendgrid"},
    partitions_def=campaign_runs,
    ins={"messages": dg.AssetIn(dagster_type=dg.Nothing)},
    tags={"dagster/retry_strategy": "ALL_STEPS"},
)
def dispatch(messages: None) -> None:
    """Every planned message handed to its provider once; what became of each is in the ledger."""
    email, sms, whatsapp = plan(messages)
    return settle([send_email(email), send_sms(sms), send_whatsapp(whatsapp)])


def _installation(context: dg.OpExecutionContext) -> Installation:
    return context.resources.installation
