"""The asymptotic confidence sequence: an interval and a p-value that hold at every look at once.

Robbins' normal mixture in its asymptotic form (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central
limit theory and asymptotic confidence sequences", arXiv:2103.06476), as GrowthBook has it; the boundary itself as in
Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (2021), as the
library confseq has it. A mixture is narrowest at one number of units, N*: the planned one.
"""

import math
from typing import Any


def best_rho(n_star: float, alpha: float) -> float:
    """The mixture's parameter with which the two-sided boundary is narrowest at `n_star`."""
    spread = 2 * math.log(1 / alpha)
    return n_star / (spread + math.log(1 + spread))


def log_mixture(total: float, n: float, rho: float) -> float:
    """Log of the mixture martingale of a sum `total` of variance `n`: large where a mean of zero is not credible."""
    return 0.5 * math.log(rho / (n + rho)) + total**2 / (2 * (n + rho))


def boundary(n: float, rho: float, alpha: float) -> float:
    """How far a sum of variance `n` and mean zero ever strays, with probability 1 - `alpha`, on both sides."""
    return math.sqrt((n + rho) * math.log((n + rho) / (rho * alpha**2)))


def one_sided_boundary(n: float, n_star: float, alpha: float) -> float:
    """The same on one side, of the mixture that is narrowest at `n_star`."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    rho = best_rho(n_star, 2 * alpha)

    def excess(total: float) -> float:
        log_value = 0.5 * math.log(4 * rho / (n + rho)) + total**2 / (2 * (n + rho))
        return log_value + float(norm.logcdf(total / math.sqrt(n + rho))) - math.log(1 / alpha)

    high = boundary(n, rho, alpha)
    while excess(high) < 0:
        high *= 2
    found: Any = brentq(excess, 0, high, xtol=1e-12)
    return float(found)


def critical_value(n: float, n_star: float, alpha: float) -> float:
    """How many standard errors the interval reaches at `n` units: at `n_star` 3.03, where a fixed test has 1.96."""
    return boundary(n, best_rho(n_star, alpha), alpha) / math.sqrt(n)


def interval(estimate: float, standard_error: float, n: float, n_star: float, alpha: float) -> tuple[float, float]:
    """(low, high) of `estimate` from `n` units of all arms compared; holds at all looks together with 1 - `alpha`."""
    half = standard_error * critical_value(n, n_star, alpha)
    return estimate - half, estimate + half


def p_value(estimate: float, standard_error: float, n: float, n_star: float, alpha: float) -> float:
    """Below a level at any look with at most that probability if there is no difference."""
    total = estimate / standard_error * math.sqrt(n)
    return min(1.0, math.exp(-log_mixture(total, n, best_rho(n_star, alpha))))
