"""What dispatch promises of every run, as checks that count it anew, once it has settled."""

from collections.abc import Callable

import dagster as dg

from campaign_pipeline.defs.presentation import check_specs
from campaign_pipeline.operations import promises

SPECS = check_specs("dispatch", [promises.ACCOUNTED, promises.ONCE], not_blocking=[promises.ACCOUNTED, promises.ONCE])


def _op(count: Callable[..., promises.Promise]) -> dg.OpDefinition:
    @dg.op(
        name=count.__name__,
        ins={"settled": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),  # the result is the asset's: no value goes on
        required_resource_keys={"installation"},
    )
    def check(context: dg.OpExecutionContext) -> dg.AssetCheckResult:
        promise = count(context.resources.installation, context.partition_key)
        return dg.AssetCheckResult(
            check_name=promise.gate.name,
            asset_key="dispatch",
            passed=promise.gate.passed,
            description=promise.gate.description,
            metadata=dict(promise.counts),
        )

    return check


CHECKS = {
    f"dispatch_{promises.ACCOUNTED}": _op(promises.every_message_accounted_for),
    f"dispatch_{promises.ONCE}": _op(promises.nothing_sent_twice),
}
"""By the name of the graph's output."""
