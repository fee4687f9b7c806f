"""What to believe of the arms: normal posteriors of their means, under a flat prior, independent of each other.

All integrals are exact to about 12 digits (closed form, or Gauss-Legendre on panels that end where a density bends);
nothing is drawn at random, so that the same figures always give the same answer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from campaign_pipeline.analytics.statistics import Sample

Floats = npt.NDArray[np.float64]

BENDS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
"""In standard deviations from a mean, on both sides: between two of them a normal density is a smooth polynomial."""
NODES = 16


@dataclass(frozen=True)
class Posterior:
    """Normal, of an arm's mean; `sd` is positive."""

    mean: float
    sd: float


def posterior_of(sample: Sample, *, share: bool) -> Posterior | None:
    """The posterior of an arm; None where there is no spread to have one from.

    A `share` of exactly 0 or 1 has the spread of (successes + 1) / (n + 2), Laplace's rule: that nobody did it so far
    does not make it certain that nobody will.
    """
    if sample.mean is None or sample.n < 1:
        return None
    variance = sample.variance
    if share:
        rate = sample.mean if 0 < sample.mean < 1 else (sample.mean * sample.n + 1) / (sample.n + 2)
        variance = rate * (1 - rate)
    return Posterior(sample.mean, math.sqrt(variance / sample.n)) if variance else None


def beats(difference: float, standard_error: float) -> float:
    """The probability that a true difference is above zero."""
    from scipy.stats import norm

    return float(norm.cdf(difference / standard_error))


def loss(difference: float, standard_error: float) -> float:
    """What is lost on average by taking the first of two arms, when `difference` is the second less the first."""
    from scipy.stats import norm

    z = difference / standard_error
    return float(difference * norm.cdf(z) + standard_error * norm.pdf(z))


def best(arms: Mapping[str, Posterior], *, lower_is_better: bool = False) -> dict[str, float]:
    """The probability of each arm to be the best one; they add up to 1."""
    return _chances(arms, lower_is_better)[0]


def top_two(arms: Mapping[str, Posterior], *, lower_is_better: bool = False) -> dict[str, float]:
    """The mean of the probabilities to be the best and to be the second best (Russo 2016, with beta = 1/2)."""
    first, second = _chances(arms, lower_is_better)
    return {name: (first[name] + second[name]) / 2 for name in arms}


def expected_losses(arms: Mapping[str, Posterior], *, lower_is_better: bool = False) -> dict[str, float]:
    """What taking each arm costs on average beside the best one, in units of the metric: E[max(others) - it]+.

    It is the integral of P(it < x) (1 - P(all others < x)); nothing is subtracted, so small losses keep their digits.
    """
    if len(arms) < 2:
        return dict.fromkeys(arms, 0.0)
    names, points, weights, below, _ = _grid(arms, lower_is_better)
    del points
    losses = [weights @ (below[i] * -np.expm1(_log_others(below, i))) for i in range(len(names))]
    return {name: float(value) for name, value in zip(names, losses, strict=True)}


def _chances(arms: Mapping[str, Posterior], lower_is_better: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Probabilities of being the first and the second."""
    if len(arms) < 2:
        return dict.fromkeys(arms, 1.0), dict.fromkeys(arms, 0.0)
    names, _, weights, below, density = _grid(arms, lower_is_better)
    first: list[float] = []
    second: list[float] = []
    for i in range(len(names)):
        others = [j for j in range(len(names)) if j != i]
        first.append(float(weights @ (density[i] * np.exp(_log_others(below, i)))))
        ahead = sum(((1 - below[j]) * np.exp(_log_others(below, i, j)) for j in others), np.zeros_like(weights))
        second.append(float(weights @ (density[i] * ahead)))
    return tuple(dict(zip(names, np.divide(values, sum(values)).tolist(), strict=True)) for values in (first, second))  # pyright: ignore[reportReturnType]


def _log_others(below: Floats, *without: int) -> Floats:
    """Log of the probability that all arms but these are below each point."""
    rest = [index for index in range(len(below)) if index not in without]
    with np.errstate(divide="ignore"):  # a probability of nothing has no logarithm, and its exponential is nothing
        return np.log(below[rest]).sum(axis=0)


def _grid(arms: Mapping[str, Posterior], lower_is_better: bool) -> tuple[list[str], Floats, Floats, Floats, Floats]:
    """(names, points, weights, P(arm < point), density of arm at point), arms in rows."""
    from scipy.stats import norm

    names = list(arms)
    sign = -1.0 if lower_is_better else 1.0
    means = np.array([[sign * arms[name].mean] for name in names])
    sds = np.array([[arms[name].sd] for name in names])
    bends = np.array(BENDS)
    edges = np.unique(np.concatenate([(means + sds * bends).ravel(), (means - sds * bends).ravel()]))
    nodes, node_weights = _legendre(NODES)
    half = np.diff(edges)[:, None] / 2
    points = ((edges[:-1] + edges[1:])[:, None] / 2 + half * nodes).ravel()
    weights = (half * node_weights).ravel()
    below: Any = norm.cdf(points, means, sds)
    density: Any = norm.pdf(points, means, sds)
    return names, points, weights, below, density


def _legendre(nodes: int) -> tuple[Floats, Floats]:
    return np.polynomial.legendre.leggauss(nodes)
