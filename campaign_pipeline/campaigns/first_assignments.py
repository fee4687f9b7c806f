"""The variant that each contact has in an experiment: lake asset `first_assignments`, one file an experiment.

An assignment is made when an audience is frozen, whether or not it is sent, and stays. The file follows from the frozen
audiences of the experiment's runs: where it is not there, `folded` makes it from them.
"""

import fcntl
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import polars as pl

from campaign_pipeline.campaigns.definition import NOT_IN_TEST, Campaign
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import AudienceStatus

ASSET = "first_assignments"

SCHEMA: dict[str, Any] = {
    "contact_id": pl.String,
    "variant": pl.String,
    "first_run_id": pl.String,  # the run that gave it this variant
    "reassigned_from": pl.String,  # the variant before, which the campaign had no more; null: none
}
"""Sorted by contact_id, each once."""


IN_TEST = (pl.col("status") == AudienceStatus.PLANNED.value) & (pl.col("variant") != NOT_IN_TEST)
"""Rows of an audience that have a variant of the experiment."""


def sticks(campaign: Campaign) -> bool:
    """Whether contacts keep their variants. With one variant there is none to keep: a later test draws freely."""
    return campaign.design.sticky and len(campaign.variants) > 1


@contextmanager
def held(lake: Lake, experiment: str) -> Generator[None]:
    """Until the block ends nobody else, in any process, reads in order to write the experiment's assignments."""
    path = lake.path(ASSET, experiment)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{experiment}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed, and when the process dies
        yield


def extended(known: pl.DataFrame, audience: pl.DataFrame, run_id: str) -> pl.DataFrame:
    """`known` (SCHEMA) with the assignments of the frozen `audience` of `run_id`, which count where both have one."""
    made = audience.filter(IN_TEST)
    made = made.with_columns(pl.col("first_run_id").fill_null(run_id)).select(*SCHEMA)
    if known.is_empty():
        return made
    new = made.join(known, on=["contact_id", "variant", "first_run_id"], how="anti")
    return pl.concat([known.join(new, on="contact_id", how="anti"), new]).sort("contact_id")


def folded(lake: Lake, run_ids: Iterable[str]) -> pl.DataFrame:
    """SCHEMA: the assignments of the frozen audiences of these runs, in the order of the runs."""
    known = pl.DataFrame(schema=SCHEMA)
    for run_id in run_ids:
        rows = lake.scan("audience", run_id)
        there = rows.collect_schema()  # an earlier version of the product froze what is not first here as well
        absent = [pl.lit(None, pl.String).alias(name) for name in SCHEMA if name not in there]
        known = _kept(known, rows.with_columns(absent).select("status", *SCHEMA).collect(), run_id)
    return known


def _kept(known: pl.DataFrame, audience: pl.DataFrame, run_id: str) -> pl.DataFrame:
    """As `extended`, but what is new to a run that said nothing of earlier ones is not taken for a reassignment."""
    again = (
        pl.col("first_run_id").is_null()
        & pl.col("reassigned_from").is_null()
        & pl.col("contact_id").is_in(known["contact_id"].implode())
    )
    return extended(known, audience.filter(~again), run_id)
