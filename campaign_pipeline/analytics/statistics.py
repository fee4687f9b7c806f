"""Tests and intervals from sufficient statistics: a thin adapter on tea-tasting.

Conventions, all two-sided at CONFIDENCE, without continuity correction:
- proportions: z-test with pooled variance; Wald interval of the difference with unpooled variance, and beside it
  Newcombe's score interval (Newcombe 1998, method 10), which holds near 0 and 1;
- means: Welch's t-test, its interval, and Welch-Satterthwaite degrees of freedom;
- relative lift (variant / control - 1): interval by the delta method on the log of the ratio, with unpooled
  variance (Katz 1978 for proportions). It is asymmetric, and excludes zero not quite when p < 0.05 does;
- sample ratio: Pearson's chi-square of the counts against the expected weights.

Where no figure is right there is none: the fields are None and `error` says why.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version

from campaign_pipeline.core.errors import InvalidInput

CONFIDENCE = 0.95
Z = 1.959963984540054
"""97.5% quantile of the standard normal distribution."""


class Error(StrEnum):
    """Why there is no figure."""

    NO_UNITS = "no_units"  # an arm has no unit whose value is known
    ONE_UNIT = "one_unit"  # an arm has one unit: no variance can be had from it
    ZERO_VARIANCE = "zero_variance"  # all units of both arms are alike within their arm


@dataclass(frozen=True)
class Sample:
    """Sufficient statistics of one arm; `variance` with n - 1. Proportions: `mean` is the rate."""

    n: int
    mean: float | None
    variance: float | None = None

    @classmethod
    def proportion(cls, n: int, successes: int) -> "Sample":
        return cls(n, successes / n if n else None)


@dataclass(frozen=True)
class Comparison:
    """A treatment against its control. Relative figures are None too where the control's mean is not positive."""

    absolute: float | None = None
    absolute_low: float | None = None
    absolute_high: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None
    test: str | None = None
    statistic: float | None = None
    df: float | None = None
    p: float | None = None
    error: str = ""


def engine() -> str:
    """What computed the figures, for the record."""
    return f"tea-tasting {version('tea-tasting')}, scipy {version('scipy')}"


def compare_proportions(control: Sample, treatment: Sample) -> Comparison:
    """Two-proportion z-test of `treatment` against `control`."""
    from tea_tasting.aggr import Aggregates  # slow to import: only where something is computed
    from tea_tasting.metrics import Proportion

    if control.mean is None or treatment.mean is None:
        return Comparison(error=Error.NO_UNITS)
    c, t = control.mean, treatment.mean
    if c in (0, 1) and t in (0, 1):  # both 0, both 1, or 0 against 1: the interval would have no width
        return Comparison(error=Error.ZERO_VARIANCE)

    def test(*, pooled: bool) -> Proportion:
        return Proportion(
            "x", method="norm", correction=False, equal_var=pooled, confidence_level=CONFIDENCE, alternative="two-sided"
        )

    arms = (Aggregates(control.n, {"x": c}), Aggregates(treatment.n, {"x": t}))
    pooled, unpooled = test(pooled=True).analyze_aggregates(*arms), test(pooled=False).analyze_aggregates(*arms)
    rate = (c * control.n + t * treatment.n) / (control.n + treatment.n)
    scale = math.sqrt(rate * (1 - rate) * (1 / control.n + 1 / treatment.n))
    low, high = newcombe_interval(control, treatment)
    relative, relative_low, relative_high = _relative(
        c, t, unpooled.rel_effect_size_ci_lower, unpooled.rel_effect_size_ci_upper
    )
    return Comparison(
        absolute=t - c,
        absolute_low=unpooled.effect_size_ci_lower,
        absolute_high=unpooled.effect_size_ci_upper,
        score_low=low,
        score_high=high,
        relative=relative,
        relative_low=relative_low,
        relative_high=relative_high,
        test="z",
        statistic=(t - c) / scale,
        p=pooled.pvalue,
    )


def compare_means(control: Sample, treatment: Sample) -> Comparison:
    """Welch's t-test of `treatment` against `control`."""
    from tea_tasting.aggr import Aggregates
    from tea_tasting.metrics import Mean

    if control.mean is None or treatment.mean is None:
        return Comparison(error=Error.NO_UNITS)
    if control.variance is None or treatment.variance is None:
        return Comparison(error=Error.ONE_UNIT)
    if control.variance == 0 and treatment.variance == 0:
        return Comparison(error=Error.ZERO_VARIANCE)
    test = Mean("x", alternative="two-sided", confidence_level=CONFIDENCE, equal_var=False, use_t=True)
    result = test.analyze_aggregates(
        Aggregates(control.n, {"x": control.mean}, {"x": control.variance}),
        Aggregates(treatment.n, {"x": treatment.mean}, {"x": treatment.variance}),
    )
    relative, relative_low, relative_high = _relative(
        control.mean, treatment.mean, result.rel_effect_size_ci_lower, result.rel_effect_size_ci_upper
    )
    c, t = control.variance / control.n, treatment.variance / treatment.n
    return Comparison(
        absolute=result.effect_size,
        absolute_low=result.effect_size_ci_lower,
        absolute_high=result.effect_size_ci_upper,
        relative=relative,
        relative_low=relative_low,
        relative_high=relative_high,
        test="welch",
        statistic=result.statistic,
        df=(c + t) ** 2 / (c**2 / (control.n - 1) + t**2 / (treatment.n - 1)),
        p=result.pvalue,
    )


def _relative(control: float, treatment: float, low: float, high: float) -> tuple[float | None, ...]:
    """(lift, low, high): no lift without a positive control; no logarithm, so no interval, of a treatment of 0."""
    if control <= 0:
        return None, None, None
    usable = treatment > 0 and math.isfinite(low) and math.isfinite(high)
    return treatment / control - 1, low if usable else None, high if usable else None


def wilson_interval(sample: Sample) -> tuple[float, float]:
    """Score interval of one proportion (Wilson 1927); `sample.n` must be positive."""
    assert sample.mean is not None, "no units"
    n, rate = sample.n, sample.mean
    centre = (rate + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(rate * (1 - rate) / n + Z**2 / (4 * n**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def newcombe_interval(control: Sample, treatment: Sample) -> tuple[float, float]:
    """Hybrid score interval of the difference of two proportions (Newcombe 1998, method 10)."""
    assert control.mean is not None, "no units"
    assert treatment.mean is not None, "no units"
    (c_low, c_high), (t_low, t_high) = wilson_interval(control), wilson_interval(treatment)
    difference = treatment.mean - control.mean
    return (
        difference - math.hypot(treatment.mean - t_low, c_high - control.mean),
        difference + math.hypot(t_high - treatment.mean, control.mean - c_low),
    )


def sample_ratio(counts: Mapping[str, int], weights: Mapping[str, float]) -> tuple[float, float] | None:
    """(chi-square, p) of the units by variant against `weights` (any positive scale).

    None where there is nothing to compare: fewer than two variants, or no units.
    InvalidInput when the two name different variants, or a weight is not positive.
    """
    from scipy.stats import chisquare

    if set(counts) != set(weights):
        raise InvalidInput(
            f"weights are given for {sorted(weights)}, units are in {sorted(counts)}",
            "Give one weight for every variant.",
        )
    if any(weight <= 0 or not math.isfinite(weight) for weight in weights.values()):
        raise InvalidInput(f"weights must be positive: {dict(weights)}")
    total, scale = sum(counts.values()), sum(weights.values())
    if len(counts) < 2 or not total:
        return None
    result = chisquare(list(counts.values()), [total * weights[variant] / scale for variant in counts])
    return float(result.statistic), float(result.pvalue)
