"""Who has which variant in a run's experiment already, and keeping what the run's freeze adds."""

from collections.abc import Generator
from contextlib import contextmanager

import polars as pl

from campaign_pipeline.campaigns.first_assignments import ASSET, IN_TEST, extended, folded, held, sticks
from campaign_pipeline.campaigns.store import Run, load_campaigns, load_run, load_runs
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Put
from campaign_pipeline.operations.installation import Installation


@contextmanager
def first_assignments(installation: Installation, run: Run) -> Generator[pl.DataFrame | None]:
    """The experiment's first assignments (first_assignments.SCHEMA); None: nothing sticks in it.

    Until the block ends no other run of the experiment is frozen, so that two at once agree on who was first.
    """
    if run.part or not sticks(run.campaign):  # the parts of a roll-out follow its decisions
        yield None
        return
    lake, experiment = installation.lake, run.campaign.experiment_name
    with held(lake, experiment):
        there = lake.exists(ASSET, experiment)
        yield lake.read(ASSET, experiment) if there else folded(lake, _frozen_runs(installation, run))


@contextmanager
def staged_assignments(
    installation: Installation, run: Run, known: pl.DataFrame | None, frozen: pl.DataFrame
) -> Generator[tuple[Put, ...]]:
    """What puts `known` and the assignments of the audience `frozen` in place; nothing, if that is there already."""
    lake, experiment = installation.lake, run.campaign.experiment_name
    is_first = frozen.select((IN_TEST & pl.col("first_run_id").is_null()).any()).item()
    if known is None or (not is_first and lake.exists(ASSET, experiment)):
        yield ()
        return
    with lake.staged(extended(known, frozen, run.run_id), ASSET, experiment) as put:
        yield (put,)


def expected_weights(installation: Installation, run: Run) -> dict[str, float]:
    """The share of those in the run's test that each variant should have; the shares add up to 1.

    Contacts who kept their variant got it by the weights of the run that gave it to them, which may have been others.
    """
    weights = run.weights
    audience = installation.lake.scan("audience", run.run_id)
    if "first_run_id" not in audience.collect_schema():
        return weights
    sizes = dict(audience.filter(IN_TEST).group_by("first_run_id").agg(pl.len()).collect().iter_rows())
    if not set(sizes) - {None}:
        return weights
    with reading(installation.engine) as connection:
        drawn = {first: weights if first is None else load_run(connection, first).campaign.weights for first in sizes}
    expected = dict.fromkeys(weights, 0.0)
    for first, size in sizes.items():
        still = {name: share for name, share in drawn[first].items() if name in weights}
        for name, share in still.items():
            expected[name] += size * share / sum(still.values())
    return {name: count / sum(sizes.values()) for name, count in expected.items()}


def _frozen_runs(installation: Installation, run: Run) -> list[str]:
    """The other runs of the experiment that were frozen, oldest first."""
    experiment = run.campaign.experiment_name
    with reading(installation.engine) as connection:
        sharing = {name for name, each in load_campaigns(connection).items() if each.experiment_name == experiment}
        found = [each for name in sorted(sharing | {run.campaign.campaign}) for each in load_runs(connection, name)]
    return [
        each.run_id
        for each in sorted(found, key=lambda each: (each.as_of, each.run_id))
        if each.run_id != run.run_id
        and each.campaign.experiment_name == experiment
        and sticks(each.campaign)
        and each.part is None
        and installation.lake.exists("audience", each.run_id)
    ]
