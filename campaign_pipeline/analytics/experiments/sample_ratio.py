"""Whether variants have the sizes that their weights say: if not, units are missing, and no figure can be trusted."""

import math
from collections.abc import Mapping

from campaign_pipeline.analytics.experiments.sequential import best_rho
from campaign_pipeline.core.errors import InvalidInput

SRM_ALPHA = 0.001
"""Below it, nothing is decided."""


def sample_ratio(counts: Mapping[str, int], weights: Mapping[str, float]) -> tuple[float, float] | None:
    """(chi-square, p) by Pearson of the units by variant against `weights` (any positive scale).

    None where there is nothing to compare: fewer than two variants, or no units.
    InvalidInput when the two name different variants, or a weight is not positive.
    """
    from scipy.stats import chisquare

    expected = _expected(counts, weights)
    if expected is None:
        return None
    result = chisquare(list(counts.values()), [sum(counts.values()) * share for share in expected.values()])
    return float(result.statistic), float(result.pvalue)


def sequential_sample_ratio(counts: Mapping[str, int], weights: Mapping[str, float], n_star: float) -> float | None:
    """A p-value of the same that holds at every look at once; None as above.

    The multinomial with a Dirichlet mixture over its shares (Lindon and Malek, "Anytime-valid inference for multinomial
    count data", 2022): the mixture is around the weights, and as wide as is best at `n_star` units and SRM_ALPHA.
    """
    from scipy.special import gammaln

    expected = _expected(counts, weights)
    if expected is None:
        return None
    concentration = max(best_rho(n_star, SRM_ALPHA), 1.0)
    log_e = float(gammaln(concentration) - gammaln(concentration + sum(counts.values())))
    for variant, share in expected.items():
        prior, count = concentration * share, counts[variant]
        log_e += float(gammaln(prior + count) - gammaln(prior)) - count * math.log(share)
    return math.exp(min(-log_e, 0.0))


def _expected(counts: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, float] | None:
    """The share of each variant, in the order of `counts`; None where there is nothing to compare."""
    if set(counts) != set(weights):
        raise InvalidInput(
            f"weights are given for {sorted(weights)}, units are in {sorted(counts)}",
            "Give one weight for every variant.",
        )
    if any(weight <= 0 or not math.isfinite(weight) for weight in weights.values()):
        raise InvalidInput(f"weights must be positive: {dict(weights)}")
    scale = sum(weights.values())
    if len(counts) < 2 or not sum(counts.values()):
        return None
    return {variant: weights[variant] / scale for variant in counts}
