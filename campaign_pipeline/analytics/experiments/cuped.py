"""CUPED: what was known of the units before the start takes noise out of the comparison (Deng et al. 2013).

`theta = cov(metric, covariate) / var(covariate)` over all arms together, and each arm's mean becomes
`mean - theta * (covariate mean of the arm - covariate mean of all)`: with two arms as tea-tasting and GrowthBook.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

from campaign_pipeline.analytics.experiments.samples import Moments
from campaign_pipeline.analytics.statistics import Sample


@dataclass(frozen=True)
class Adjustment:
    """`samples` by variant, `theta`, and the share of the variance of a difference that it took away."""

    samples: Mapping[str, Sample]
    theta: float
    variance_reduction: float


def adjust(arms: Mapping[str, Moments], control: str) -> Adjustment | None:
    """The arms with their covariate taken into account; None where there is none, or where it would not help.

    It helps when no treatment's difference from `control` gets a larger variance, and one gets a smaller one.
    """
    from tea_tasting.aggr import Aggregates

    known: dict[str, Aggregates] = {}
    for variant, m in arms.items():
        if m.n == 0:
            continue
        values = (m.mean, m.variance, m.covariate_mean, m.covariate_variance, m.covariate_covariance)
        if None in values:
            return None
        mean, variance, before, before_variance, both = (value or 0.0 for value in values)
        known[variant] = Aggregates(
            m.n, {"y": mean, "x": before}, {"y": variance, "x": before_variance}, {("x", "y"): both}
        )
    if control not in known or len(known) < 2:
        return None
    total = reduce(add, known.values())
    if not total.var("x"):
        return None
    theta = total.cov("x", "y") / total.var("x")
    samples = {
        variant: Sample(
            arm.count(),
            arm.mean("y") - theta * (arm.mean("x") - total.mean("x")),
            _variance(arm.var("y"), arm.var("y") + theta**2 * arm.var("x") - 2 * theta * arm.cov("x", "y")),
        )
        for variant, arm in known.items()
    }
    before = {variant: arm.var("y") / arm.count() for variant, arm in known.items()}
    after = {variant: (sample.variance or 0.0) / sample.n for variant, sample in samples.items()}
    treatments = [variant for variant in known if variant != control]
    pairs = [(before[control] + before[variant], after[control] + after[variant]) for variant in treatments]
    if any(new > old for old, new in pairs) or all(new == old for old, new in pairs):
        return None
    return Adjustment(samples, theta, 1 - sum(new for _, new in pairs) / sum(old for old, _ in pairs))


def _variance(before: float, after: float) -> float:
    """What is left of a variance; none where only rounding is."""
    return after if after > 1e-12 * before else 0.0
