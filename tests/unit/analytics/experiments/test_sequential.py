"""The confidence sequence: its formulas, and what it promises, by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.analytics.experiments.sequential import (
    best_rho,
    boundary,
    critical_value,
    interval,
    one_sided_boundary,
    p_value,
)
from campaign_pipeline.analytics.statistics import Sample, compare_proportions

ALPHA = 0.05
LOOKS = 50
TESTS = 4000


def test_at_the_planned_number_of_units_it_reaches_three_standard_errors():
    spread = 2 * math.log(20)
    k = spread + math.log(1 + spread)  # n / rho
    assert critical_value(1000, 1000, ALPHA) == pytest.approx(math.sqrt((1 + 1 / k) * math.log((1 + k) / ALPHA**2)))
    assert round(critical_value(1000, 1000, ALPHA), 4) == 3.0352
    assert all(critical_value(n, 1000, ALPHA) > 3.0352 for n in (10, 500, 999, 1001, 100_000))


@given(
    st.floats(-5, 5), st.floats(0.01, 2), st.integers(2, 1_000_000), st.integers(2, 1_000_000), st.floats(0.001, 0.2)
)
def test_the_interval_leaves_zero_out_when_p_is_below_alpha_where_both_are_of_one_mixture(estimate, se, n, n_star, a):
    low, high = interval(estimate, se, n, n_star, a)
    p = p_value(estimate, se, n, n_star, a)
    if abs(p - a) > 1e-9:
        assert (low > 0 or high < 0) == (p < a)


def test_one_side_is_nearer_than_two():
    rho = best_rho(100, ALPHA)
    assert (
        one_sided_boundary(100, 100, ALPHA) < boundary(100, rho, ALPHA) < one_sided_boundary(100, 100, ALPHA / 2) * 1.01
    )


def _z(control: np.ndarray, treatment: np.ndarray, n: np.ndarray | int) -> np.ndarray:
    """The unpooled statistic at each look, 0 where there is no spread yet."""
    c, t = control / n, treatment / n
    se = np.sqrt((c * (1 - c) + t * (1 - t)) / n)
    return np.divide(t - c, se, out=np.zeros_like(se), where=se > 0)


def test_fifty_looks_at_no_difference_cry_wolf_by_the_fixed_test_and_not_by_the_sequential_one():
    random = np.random.default_rng(20260302)
    n = 200 * np.arange(1, LOOKS + 1)  # an arm
    z = _z(*(random.binomial(200, 0.1, (2, TESTS, LOOKS)).cumsum(axis=2)), n)
    ever = float((np.abs(z) > 1.959964).any(axis=1).mean())
    bound = np.array([critical_value(2 * units, 2 * n[-1], ALPHA) for units in n])
    sequential = float((np.abs(z) > bound).any(axis=1).mean())
    assert 0.25 < ever < 0.40
    assert 0.003 < sequential < 0.03
    assert 0.03 < float((np.abs(z[:, -1]) > 1.959964).mean()) < 0.065


def test_it_also_holds_where_all_units_are_there_from_the_start_and_what_they_do_comes_in_later():
    """As in a campaign: n stays, the rate grows from 0.2 % to 10 % over the looks."""
    random = np.random.default_rng(7)
    n, done = 5000, np.zeros((2, TESTS), dtype=np.int64)
    counts = []
    for _ in range(LOOKS):
        done = done + random.binomial(n - done, 0.0021)
        counts.append(done)
    z = _z(*np.stack(counts, axis=2), n)
    assert (np.stack(counts)[-1] / n).mean() == pytest.approx(0.1, abs=0.005)
    assert float((np.abs(z) > 1.959964).any(axis=1).mean()) > 0.2
    assert float((np.abs(z) > critical_value(2 * n, 2 * n, ALPHA)).any(axis=1).mean()) <= ALPHA


def test_the_sequence_covers_a_difference_at_all_looks_and_fixed_intervals_cover_it_at_one():
    random = np.random.default_rng(11)
    n = 200 * np.arange(1, LOOKS + 1)
    control = random.binomial(200, 0.1, (TESTS, LOOKS)).cumsum(axis=1)
    treatment = random.binomial(200, 0.13, (TESTS, LOOKS)).cumsum(axis=1)
    c, t = control / n, treatment / n
    half = np.sqrt((c * (1 - c) + t * (1 - t)) / n) * [critical_value(2 * u, 2 * n[-1], ALPHA) for u in n]
    assert float((np.abs(t - c - 0.03) <= half).all(axis=1).mean()) >= 1 - ALPHA
    covered = np.zeros(3)
    for i in range(1500):
        last = (Sample.proportion(10_000, int(arm[i, -1])) for arm in (control, treatment))
        found = compare_proportions(*last)
        covered += [
            found.absolute_low <= 0.03 <= found.absolute_high,
            found.score_low <= 0.03 <= found.score_high,
            found.relative_low <= 0.3 <= found.relative_high,
        ]
    assert np.abs(covered / 1500 - 0.95).max() < 0.018  # three standard errors of the simulation
