"""Tests and intervals from sufficient statistics: a thin adapter on tea-tasting.

Conventions, all two-sided at 1 - `alpha`, without continuity correction:
- proportions: z-test with pooled variance; Wald interval of the difference with unpooled variance, and beside it
  Newcombe's score interval (Newcombe 1998, method 10), which holds near 0 and 1;
- means: Welch's t-test, its interval, and Welch-Satterthwaite degrees of freedom;
- relative lift (variant / control - 1): interval by the delta method on the log of the ratio, with unpooled
  variance (Katz 1978 for proportions). It is asymmetric, and excludes zero not quite when p < 0.05 does. `LINEAR` is
  the delta method on the ratio itself: symmetric, as GrowthBook has it; for means with the quantile of Welch's t.

Where no figure is right there is none: the fields are None and `error` says why.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import version

ALPHA = 0.05
"""Two-sided, where nobody says another."""


HOPELESS = 30
"""How many times smaller than its standard error a mean is when nothing can be said relative to it."""


NOTHING = 1e-150
"""A variance below it is none: its square is no number any more."""


class RelativeMethod(StrEnum):
    """How the interval of the relative lift is made."""

    LOG = "log"  # delta method on the logarithm of the ratio
    LINEAR = "linear"  # delta method on the ratio itself


class Error(StrEnum):
    """Why there is no figure."""

    NO_UNITS = "no_units"  # an arm has no unit whose value is known
    ONE_UNIT = "one_unit"  # an arm has one unit: no variance can be had from it
    NO_VARIANCE = "no_variance"  # only aggregates are known, and the variance is not among them
    NO_SOURCE = "no_source"  # what the metric is computed from is not in the lake
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
    standard_error: float | None = None
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


@cache
def engine() -> str:
    """What computed the figures, for the record."""
    return f"tea-tasting {version('tea-tasting')}, scipy {version('scipy')}"


def compare_proportions(
    control: Sample, treatment: Sample, alpha: float = ALPHA, method: RelativeMethod = RelativeMethod.LOG
) -> Comparison:
    """Two-proportion z-test of `treatment` against `control`; `standard_error` is the unpooled one."""
    from tea_tasting.aggr import Aggregates  # slow to import: only where something is computed
    from tea_tasting.metrics import Proportion

    if control.mean is None or treatment.mean is None:
        return Comparison(error=Error.NO_UNITS)
    c, t = control.mean, treatment.mean
    if c in (0, 1) and t in (0, 1):  # both 0, both 1, or 0 against 1: the interval would have no width
        return Comparison(error=Error.ZERO_VARIANCE)

    def test(*, pooled: bool) -> Proportion:
        return Proportion(
            "x", method="norm", correction=False, equal_var=pooled, confidence_level=1 - alpha, alternative="two-sided"
        )

    arms = (Aggregates(control.n, {"x": c}), Aggregates(treatment.n, {"x": t}))
    pooled, unpooled = test(pooled=True).analyze_aggregates(*arms), test(pooled=False).analyze_aggregates(*arms)
    rate = (c * control.n + t * treatment.n) / (control.n + treatment.n)
    scale = math.sqrt(rate * (1 - rate) * (1 / control.n + 1 / treatment.n))
    variances = c * (1 - c) / control.n, t * (1 - t) / treatment.n
    low, high = newcombe_interval(control, treatment, alpha)
    ends = unpooled.rel_effect_size_ci_lower, unpooled.rel_effect_size_ci_upper
    if method is RelativeMethod.LINEAR:
        ends = _linear(c, t, variances, alpha)
    relative, relative_low, relative_high = _relative(c, t, *ends, method)
    return Comparison(
        absolute=t - c,
        absolute_low=unpooled.effect_size_ci_lower,
        absolute_high=unpooled.effect_size_ci_upper,
        standard_error=math.sqrt(sum(variances)),
        score_low=low,
        score_high=high,
        relative=relative,
        relative_low=relative_low,
        relative_high=relative_high,
        test="z",
        statistic=(t - c) / scale,
        p=pooled.pvalue,
    )


def compare_means(
    control: Sample, treatment: Sample, alpha: float = ALPHA, method: RelativeMethod = RelativeMethod.LOG
) -> Comparison:
    """Welch's t-test of `treatment` against `control`."""
    from tea_tasting.aggr import Aggregates
    from tea_tasting.metrics import Mean

    if control.mean is None or treatment.mean is None:
        return Comparison(error=Error.NO_UNITS)
    if control.variance is None or treatment.variance is None:
        alone = any(sample.variance is None and sample.n < 2 for sample in (control, treatment))
        return Comparison(error=Error.ONE_UNIT if alone else Error.NO_VARIANCE)
    if max(control.variance, treatment.variance) < NOTHING:
        return Comparison(error=Error.ZERO_VARIANCE)
    test = Mean("x", alternative="two-sided", confidence_level=1 - alpha, equal_var=False, use_t=True)
    variances = c, t = control.variance / control.n, treatment.variance / treatment.n
    # Beside a mean that is nothing but noise the logarithm of the ratio overflows. The difference does not change when
    # both means are moved, so it is had from means that are moved away from zero, and the ratio has no interval.
    noise = is_noise(control) or is_noise(treatment)
    moved = abs(control.mean) + abs(treatment.mean) + math.sqrt(c + t) if noise else 0.0
    result = test.analyze_aggregates(
        Aggregates(control.n, {"x": control.mean + moved}, {"x": control.variance}),
        Aggregates(treatment.n, {"x": treatment.mean + moved}, {"x": treatment.variance}),
    )
    ends = (math.nan, math.nan) if noise else (result.rel_effect_size_ci_lower, result.rel_effect_size_ci_upper)
    base = 0.0 if is_noise(control) else control.mean
    if method is RelativeMethod.LINEAR:
        ends = _linear(base, treatment.mean, variances, alpha, (control.n, treatment.n))
    relative, relative_low, relative_high = _relative(base, treatment.mean, *ends, method)
    return Comparison(
        absolute=treatment.mean - control.mean,
        absolute_low=result.effect_size_ci_lower,
        absolute_high=result.effect_size_ci_upper,
        standard_error=math.sqrt(c + t),
        relative=relative,
        relative_low=relative_low,
        relative_high=relative_high,
        test="welch",
        statistic=result.statistic,
        df=welch_df(variances, (control.n, treatment.n)),
        p=result.pvalue,
    )


def is_noise(sample: Sample) -> bool:
    """Whether the mean is so small beside its standard error that nothing can be had relative to it."""
    assert sample.mean is not None, "no units"
    return abs(sample.mean) * HOPELESS < math.sqrt((sample.variance or 0.0) / sample.n)


def welch_df(variances: tuple[float, float], sizes: tuple[int, int]) -> float:
    """Degrees of freedom by Welch and Satterthwaite, from the variances of the two means."""
    (c, t), (c_n, t_n) = variances, sizes
    share = c / (c + t)
    return 1 / (share**2 / (c_n - 1) + (1 - share) ** 2 / (t_n - 1))


def relative_error(control: float, treatment: float, variances: tuple[float, float]) -> float:
    """Standard error of `treatment / control - 1` by the delta method, from the variances of the two means."""
    return math.sqrt(variances[1] / control**2 + variances[0] * treatment**2 / control**4)


def _linear(
    control: float,
    treatment: float,
    variances: tuple[float, float],
    alpha: float,
    sizes: tuple[int, int] | None = None,
) -> tuple[float, float]:
    """Symmetric interval of the relative lift; with `sizes` by the t of Welch's test, else by the normal."""
    from scipy.stats import norm, t

    if control <= 0:
        return math.nan, math.nan
    quantile = t.ppf(1 - alpha / 2, welch_df(variances, sizes)) if sizes else norm.ppf(1 - alpha / 2)
    lift, half = treatment / control - 1, float(quantile) * relative_error(control, treatment, variances)
    return lift - half, lift + half


def _relative(
    control: float, treatment: float, low: float, high: float, method: RelativeMethod
) -> tuple[float | None, ...]:
    """(lift, low, high): no lift without a positive control; no logarithm, so no interval, of a treatment of 0."""
    if control <= 0 or not math.isfinite(treatment / control):
        return None, None, None
    usable = (treatment > 0 or method is RelativeMethod.LINEAR) and math.isfinite(low) and math.isfinite(high)
    return treatment / control - 1, low if usable else None, high if usable else None


def z_of(alpha: float) -> float:
    """The quantile of the standard normal distribution that leaves `alpha` / 2 above it."""
    from scipy.stats import norm

    return float(norm.isf(alpha / 2))


def wilson_interval(sample: Sample, alpha: float = ALPHA) -> tuple[float, float]:
    """Score interval of one proportion (Wilson 1927); `sample.n` must be positive."""
    assert sample.mean is not None, "no units"
    n, rate, z = sample.n, sample.mean, z_of(alpha)
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def newcombe_interval(control: Sample, treatment: Sample, alpha: float = ALPHA) -> tuple[float, float]:
    """Hybrid score interval of the difference of two proportions (Newcombe 1998, method 10)."""
    assert control.mean is not None, "no units"
    assert treatment.mean is not None, "no units"
    (c_low, c_high), (t_low, t_high) = wilson_interval(control, alpha), wilson_interval(treatment, alpha)
    difference = treatment.mean - control.mean
    return (
        difference - math.hypot(treatment.mean - t_low, c_high - control.mean),
        difference + math.hypot(t_high - treatment.mean, control.mean - c_low),
    )
