"""What roll-outs lose by sending worse variants, beside a fixed test of a tenth. Not a measure of time.

Seeded simulation of campaigns whose goal comes at once; the product's own rules share the batches. Regret: goals that
were missed, as a percent of what the best variant would have brought.

Baseline: a tenth of the audience is the test, in equal shares, and the others get the best of it.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import product

import numpy as np
import polars as pl
from common import arguments, progress, show

from campaign_pipeline.analytics.experiments.posteriors import best, posterior_of
from campaign_pipeline.analytics.experiments.rollout import thompson_part
from campaign_pipeline.analytics.statistics import Sample
from campaign_pipeline.campaigns.rollout import Thompson, Winner

AUDIENCES, FLOORS, SEED = (20_000, 100_000), (0.05, 0.01), 20260302
RATES = {"2_arms": (0.10, 0.11), "4_arms": (0.10, 0.10, 0.11, 0.12)}
TESTS = 20  # for each campaign in batches: what one test loses differs by more
FIFTH = Winner.model_validate({"method": "winner"}).test_share


def goals(made: np.random.Generator, rates: Sequence[float], sizes: Sequence[int]) -> list[int]:
    return [int(made.binomial(n, rate)) for rate, n in zip(rates, sizes, strict=True)]


def lost(rates: Sequence[float], sent: Sequence[int]) -> float:
    """Percent of what the best would have brought to all of them."""
    missed = sum((max(rates) - rate) * n for rate, n in zip(rates, sent, strict=True))
    return 100 * missed / (max(rates) * sum(sent))


def tested(made: np.random.Generator, rates: Sequence[float], audience: int, share: float) -> float:
    """A test on `share`, then the most probable best one to the others."""
    sizes = [round(audience * share / len(rates))] * len(rates)
    found = goals(made, rates, sizes)
    known = {
        str(arm): posterior
        for arm, (good, n) in enumerate(zip(found, sizes, strict=True))
        if (posterior := posterior_of(Sample.proportion(n, good), share=True))
    }
    chances = best(known)
    winner = int(max(chances, key=lambda name: chances[name]))
    sizes[winner] += audience - sum(sizes)
    return lost(rates, sizes)


def batched(made: np.random.Generator, rates: Sequence[float], audience: int, rollout: Thompson) -> float:
    names, size = [str(arm) for arm in range(len(rates))], audience // rollout.batches
    sent, parts = np.zeros(len(rates), dtype=int), list[pl.DataFrame]()
    shares = np.full(len(rates), 1 / len(rates))
    for _ in range(rollout.batches):
        sizes = np.diff(np.round(np.concatenate([[0], np.cumsum(shares)]) * size)).astype(int)
        means = [good / n if n else None for good, n in zip(goals(made, rates, sizes.tolist()), sizes, strict=True)]
        rows = {"variant": names, "n": sizes, "mean": means, "variance": [None] * len(names)}
        parts.append(pl.DataFrame(rows).with_columns(metric_type=pl.lit("proportion")))
        sent += sizes
        choice = thompson_part(rollout, names, parts, size, lower_is_better=False)
        assert choice.weights is not None
        shares = np.array([choice.weights[name] for name in names])
    return lost(rates, sent.tolist())


def main() -> None:
    small: bool = arguments(__doc__ or "").parse_args().small
    times = 40 if small else 400
    cases = list(product(AUDIENCES, RATES))
    figures: dict[str, float] = {}
    baseline: dict[str, float] = {}
    with progress("campaigns") as done:
        for number, (audience, arms) in enumerate(cases):
            rates, made, lose = RATES[arms], np.random.default_rng(SEED), defaultdict[str, list[float]](list)
            for each in range(times):
                for floor in FLOORS:
                    rollout = Thompson.model_validate({"method": "thompson", "floor": floor})
                    lose[f"thompson_floor_{floor}"].append(batched(made, rates, audience, rollout))
                for _ in range(TESTS):
                    lose["winner_of_a_fifth"].append(tested(made, rates, audience, FIFTH))
                    lose["a_tenth"].append(tested(made, rates, audience, 0.1))
                done(number * times + each + 1, len(cases) * times)
            mean = {name: float(np.mean(values)) for name, values in lose.items()}
            fixed = mean.pop("a_tenth")
            for name, value in mean.items():
                figures[f"{name}_{arms}_of_{audience}_percent"] = value
                baseline[f"{name}_{arms}_of_{audience}_percent"] = fixed
    show(
        "rollouts",
        figures,
        baseline,
        "fixed test of a tenth, then the best of it",
        target={},
        setup={"campaigns": times, "batches": 10, "rates": RATES, "seed": SEED},
        less_is_better=True,
    )


if __name__ == "__main__":
    main()
