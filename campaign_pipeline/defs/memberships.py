"""Who is in each segment over time: evaluated by hand, by schedule, or as soon as contacts are touched.

A segment is a partition. One run takes all of them that are due, in one session on the lake: it is given a range of
partitions by Dagster's own tags, and each segment that was evaluated is reported as a materialization of its own.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from campaign_pipeline.analytics.charts import png_base64
from campaign_pipeline.analytics.segment_charts import size_chart
from campaign_pipeline.defs.partitions import segments
from campaign_pipeline.defs.presentation import Materialised, picture, table
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.memberships import evaluate_segments, evaluate_touched, history
from campaign_pipeline.segments.evaluations import Evaluation
from campaign_pipeline.segments.event_store import build_features

CHARTED = 200
LISTED = 10
"""Evaluations in the chart and in the table."""


class Scope(dg.Config):
    """`touched_only`: look only at contacts that changed or have new events, where that is enough."""

    touched_only: bool = False


@dg.asset(group_name="segments", kinds={"duckdb"}, deps=["contact_snapshot", "behaviour_history"], owners=["team:data"])
def segment_features(installation: dg.ResourceParam[Installation]) -> Materialised:
    """What contacts did, arranged for segments: they are evaluated faster with it, and to the same members."""
    built = build_features(installation.lake)
    return Materialised(
        metadata={
            "dagster/row_count": built.contacts,
            "events": built.events,
            "events_added": built.events_added,
            "event_names_with_features": built.names_with_features,
            "megabytes": round(built.path.stat().st_size / 1e6, 1),
        }
    )


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "segment_membership",
            description="Who is in the segment and since when, and who entered and left at each evaluation.",
            group_name="segments",
            kinds={"duckdb", "parquet"},
            deps=[
                "contact_snapshot",
                "behaviour_history",
                "segment_features",
                dg.AssetDep("message_facts", partition_mapping=dg.AllPartitionMapping()),
            ],
            owners=["team:data"],
            partitions_def=segments,
            skippable=True,  # a segment of which nobody was touched
        )
    ],
    partitions_def=segments,
)
def segment_membership(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation], config: Scope
) -> Iterator[Materialised]:
    """Evaluate the segments of this run. Those without an error are kept and reported, also if another has one."""
    names = list(context.partition_keys)
    if config.touched_only:
        evaluated = evaluate_touched(installation, names, fresh=False)
    else:
        evaluated = evaluate_segments(installation, names, fresh=False)
    for name, evaluation in evaluated.evaluations.items():
        metadata = _metadata(installation, evaluation)
        context.log_event(dg.AssetMaterialization("segment_membership", partition=name, metadata=metadata))
    evaluated.require()
    yield from ()  # what was reported above is not reported again


def _metadata(installation: Installation, evaluation: Evaluation) -> dict[str, Any]:
    rows = history(installation, evaluation.segment, CHARTED)
    return {
        "dagster/row_count": evaluation.members,
        "members": evaluation.members,
        "entered": evaluation.entered,
        "left": evaluation.left,
        "cause": evaluation.cause.value,
        "as_of": evaluation.as_of.isoformat(),
        "size_over_time": picture(png_base64(size_chart(rows)), f"Members of {evaluation.segment} over time"),
        "last_evaluations": table(rows.head(LISTED).drop("evaluation_id", "evaluated_at")),
    }
