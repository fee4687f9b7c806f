"""CUPED from sufficient statistics: what tea-tasting has, and never worse than without."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import Mean

from campaign_pipeline.analytics.experiments.cuped import adjust
from campaign_pipeline.analytics.experiments.samples import Moments
from campaign_pipeline.analytics.statistics import compare_means


def moments(y: np.ndarray, x: np.ndarray) -> Moments:
    return Moments(
        n=len(y),
        mean=y.mean(),
        variance=y.var(ddof=1),
        covariate_mean=x.mean(),
        covariate_variance=x.var(ddof=1),
        covariate_covariance=np.cov(x, y)[0, 1],
    )


def arms(n: tuple[int, ...], strength: float, seed: int = 1) -> dict[str, Moments]:
    random = np.random.default_rng(seed)
    result = {}
    for index, (name, units) in enumerate(zip("abcdef", n, strict=False)):
        x = random.normal(size=units)
        result[name] = moments(strength * x + random.normal(10 + index / 5, size=units), x)
    return result


def test_two_arms_are_as_in_tea_tasting():
    known = arms((800, 500), 2.0)
    adjusted = adjust(known, "a")
    ours = compare_means(adjusted.samples["a"], adjusted.samples["b"])
    theirs = Mean("y", "x", equal_var=False, use_t=True).analyze_aggregates(
        *(
            Aggregates(
                m.n,
                {"y": m.mean, "x": m.covariate_mean},
                {"y": m.variance, "x": m.covariate_variance},
                {("x", "y"): m.covariate_covariance},
            )
            for m in known.values()
        )
    )
    assert ours.absolute == pytest.approx(theirs.effect_size, rel=1e-12)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.absolute_low, ours.absolute_high) == (
        pytest.approx(theirs.effect_size_ci_lower, rel=1e-9),
        pytest.approx(theirs.effect_size_ci_upper, rel=1e-9),
    )
    assert adjusted.theta == pytest.approx(2.0, abs=0.1)
    assert adjusted.variance_reduction == pytest.approx(0.8, abs=0.03)  # the squared correlation


def test_a_covariate_that_says_nothing_or_is_not_known_is_not_used():
    known = arms((50, 50), 1.0)
    flat = {name: Moments(m.n, m.mean, m.variance, None, None, None, 1.0, 0.0, 0.0) for name, m in known.items()}
    assert adjust(flat, "a") is None
    assert adjust({name: Moments(m.n, m.mean, m.variance) for name, m in known.items()}, "a") is None
    assert adjust({"a": known["a"]}, "a") is None
    assert adjust({"a": known["a"], "b": Moments(0, None)}, "a") is None


def test_an_arm_without_units_does_not_keep_the_others_from_it():
    assert set(adjust({**arms((50, 50), 1.0), "c": Moments(0, None)}, "a").samples) == {"a", "b"}


@given(st.lists(st.integers(3, 40), min_size=2, max_size=4), st.floats(-2, 2), st.integers(0, 10_000))
def test_no_difference_ever_gets_a_larger_variance(sizes, strength, seed):
    known = arms(tuple(sizes), strength, seed)
    adjusted = adjust(known, "a")
    if adjusted is None:
        return
    assert 0 < adjusted.variance_reduction <= 1
    for name in list(known)[1:]:
        before = sum(known[arm].variance / known[arm].n for arm in ("a", name))
        assert sum(adjusted.samples[arm].variance / known[arm].n for arm in ("a", name)) <= before
