"""What came of a roll-out: the figures that each part was decided by, and the result over all parts."""

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.analytics.experiments.stratified import STRATIFIED, over_parts
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.tables import rollout_parts
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.results import compare
from campaign_pipeline.operations.rollouts import compared, rollout_of

FIGURES = {
    "part": pl.Int64,  # that was decided
    "by_part": pl.Int64,  # whose figures these are, as they stood then: the first run is part 0
    "variant": pl.String,
    "units": pl.Int64,
    "mean": pl.Float64,
    "prob_best": pl.Float64,
    "expected_loss": pl.Float64,
    "seq_p": pl.Float64,
    "srm_seq_p": pl.Float64,
}


def decision_figures(installation: Installation, run_id: str) -> pl.DataFrame:
    """Columns FIGURES: what the decisions of the roll-out of `run_id` were made by. What a person decided has none."""
    progress = rollout_of(installation, run_id)
    parts = sa.select(rollout_parts.c.part_no, rollout_parts.c.figures).order_by(rollout_parts.c.part_no)
    with reading(installation.engine) as connection:
        found = connection.execute(parts.where(rollout_parts.c.parent_run_id == progress.run.run_id)).all()
    rows = [
        {"part": part_no, "by_part": by_part} | {name: row[name] for name in FIGURES if name in row}
        for part_no, figures in found
        for by_part, of_part in enumerate(figures.get("parts", []))
        for row in of_part
    ]
    return pl.DataFrame(rows, schema=FIGURES)


def rollout_result(installation: Installation, run_id: str) -> pl.DataFrame:
    """Columns STRATIFIED: the goal over all parts that compare something and were measured, by their facts as they are.

    What all who waited got because it won is compared with nothing, and is not in it.
    """
    measured = [
        run
        for run in compared(rollout_of(installation, run_id))
        if installation.lake.exists("message_facts", run.run_id)
    ]
    if not measured:
        return pl.DataFrame(schema=STRATIFIED)
    goals = [compare(installation, run.run_id, None).filter("is_goal") for run in measured]
    return over_parts(goals, alpha=measured[0].campaign.analysis.alpha)
