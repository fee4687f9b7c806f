"""A roll-out as people look at it: a row a part."""

import polars as pl

from campaign_pipeline.operations.rollouts import Progress

SCHEMA = {
    "part": pl.Int64,
    "run_id": pl.String,
    "state": pl.String,
    "from": pl.Float64,  # of the places, which are spread evenly over [0, 1)
    "to": pl.Float64,
    "weights": pl.String,
    "decided_by": pl.String,
    "reason": pl.String,
}


def parts_of(progress: Progress) -> pl.DataFrame:
    """Columns SCHEMA: the first run is part 0."""
    run, rollout = progress.run, progress.run.campaign.rollout
    assert rollout is not None
    start, end = rollout.shares()[0]
    rows = [(0, run.run_id, run.state.value, start, end, _told(run.weights), run.requested_by, "the test")]
    for each in progress.parts:
        part = each.part
        assert part is not None
        told = _told(each.weights)
        rows.append((part.part_no, each.run_id, each.state.value, *part.share, told, part.decided_by, part.reason))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def next_of(progress: Progress) -> str:
    """What comes next, as a sentence."""
    after = f", decided {progress.next_at:%Y-%m-%d %H:%M} UTC at the earliest" if progress.next_at else ""
    return f"Next part: {progress.state}{after}."


def _told(weights: dict[str, float]) -> str:
    return ", ".join(f"{name} {weight:.1%}" for name, weight in weights.items())
