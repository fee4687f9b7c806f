"""Who of those that a run could send to gets which variant, and who is held out.

In this order, each step with a seed of its own: the team's global holdout; the experiment's time, its part of the
layer and its coverage; the campaign's holdout; the variant. Who is not in the test gets the control's message, and is
in no result. A contact that has a variant of the experiment keeps it.
"""

import numpy as np
import polars as pl

from campaign_pipeline.campaigns.assignment import Range, bucket_ranges, choose_variants
from campaign_pipeline.campaigns.definition import NOT_IN_TEST
from campaign_pipeline.campaigns.experiment import WHOLE
from campaign_pipeline.campaigns.experiments_policy import NO_POLICY, ExperimentsPolicy
from campaign_pipeline.campaigns.rollout import within
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core.hashing import buckets
from campaign_pipeline.core.words import AudienceStatus


def assign(
    run: Run, ids: pl.Series, policy: ExperimentsPolicy = NO_POLICY, known: pl.DataFrame | None = None
) -> pl.DataFrame:
    """For each of `ids` (contact ids, each once), in their order:

    status           planned, held_out, held_out_globally, or reserved for a later part of the run's roll-out
    variant          a variant's name or NOT_IN_TEST; null: not planned
    first_run_id     the earlier run that gave it this variant; null: this one
    reassigned_from  the variant that it had in the experiment and that the campaign has no more; null: none

    `known`: the experiment's first assignments (first_assignments.SCHEMA); None: nothing sticks.
    """
    campaign = run.campaign
    drawn = pl.DataFrame({"contact_id": ids, "variant": _variants(run, ids)})
    sticking = drawn if known is None or known.is_empty() else _sticking(run, drawn, known)
    return (
        sticking.with_columns(
            held_globally=_held_globally(run, policy, ids),
            in_test=_in_test(run, ids),
            held_out=_within(f"{campaign.campaign}:holdout", (0.0, campaign.holdout / 100), ids),
            reserved=_reserved(run, ids),
        )
        .with_columns(
            status=pl.when("held_globally")
            .then(pl.lit(AudienceStatus.HELD_OUT_GLOBALLY))
            .when(pl.col("in_test") & pl.col("held_out"))
            .then(pl.lit(AudienceStatus.HELD_OUT))
            .when(pl.col("in_test") & pl.col("reserved"))
            .then(pl.lit(AudienceStatus.RESERVED))
            .otherwise(pl.lit(AudienceStatus.PLANNED))
        )
        .select("status", *_of_planned(sticking.columns))
    )


def _of_planned(there: list[str]) -> list[pl.Expr]:
    planned = pl.col("status") == AudienceStatus.PLANNED
    variant = pl.when(planned & pl.col("in_test")).then("variant").when(planned).then(pl.lit(NOT_IN_TEST))
    earlier = [
        pl.when(planned & pl.col("in_test")).then(name).alias(name)
        if name in there
        else pl.lit(None, pl.String).alias(name)
        for name in ("first_run_id", "reassigned_from")
    ]
    return [variant.alias("variant"), *earlier]


def _held_globally(run: Run, policy: ExperimentsPolicy, ids: pl.Series) -> pl.Series:
    holdout = policy.global_holdout
    if holdout is None or not holdout.holds_for(run.campaign.purpose, run.as_of):
        return _everybody(ids, False)
    return _within(f"{holdout.seed}:global_holdout", (0.0, holdout.percent / 100), ids)


def _in_test(run: Run, ids: pl.Series) -> pl.Series:
    if run.part:
        return _everybody(ids, True)  # as they were when the first run froze them
    design = run.campaign.design
    if not design.holds_at(run.as_of):
        return _everybody(ids, False)
    of_layer = _within(f"{design.layer}:layer", design.part, ids)
    return of_layer & _within(f"{run.campaign.experiment_name}:coverage", (0.0, design.coverage), ids)


def _reserved(run: Run, ids: pl.Series) -> pl.Series:
    rollout = run.campaign.rollout
    if rollout is None or run.part:
        return _everybody(ids, False)
    return ~within(run.run_id, rollout.shares()[0], ids)


def _within(seed: str, share: Range, ids: pl.Series) -> pl.Series:
    """Whose place is in the half-open `share`."""
    start, end = share
    if share == WHOLE or start == end:  # to hash a million ids takes as long as many other things of a freeze
        return _everybody(ids, share == WHOLE)
    places = buckets(seed, ids)
    return pl.Series((places >= start) & (places < end))


def _everybody(ids: pl.Series, value: bool) -> pl.Series:
    return pl.Series([value]).new_from_index(0, len(ids))


def _variants(run: Run, ids: pl.Series) -> pl.Series:
    """The seed is the experiment's name: anybody's GrowthBook SDK gives the same answer."""
    names, weights = list(run.weights), list(run.weights.values())
    ranges = bucket_ranges(weights)
    ranges[-1] = (ranges[-1][0], np.inf)  # rounding must not leave the last id without a variant
    chosen = choose_variants(buckets(run.campaign.experiment_name, ids), ranges)
    return pl.Series(names, dtype=pl.String).gather(pl.Series(chosen))


def _sticking(run: Run, drawn: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`drawn` with the variants that contacts have already, as far as the campaign still has these."""
    had = known.select("contact_id", had="variant", since="first_run_id", had_before="reassigned_from")
    stays = pl.col("had").is_in(list(run.campaign.weights))
    own = pl.col("since") == run.run_id  # frozen anew: what it says of itself does not change
    return drawn.join(had, on="contact_id", how="left", maintain_order="left").select(
        "contact_id",
        pl.when(stays).then("had").otherwise("variant").alias("variant"),
        pl.when(stays & ~own).then("since").alias("first_run_id"),
        pl.when(stays & own).then("had_before").when(~stays).then("had").alias("reassigned_from"),
    )
