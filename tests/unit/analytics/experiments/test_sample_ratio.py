"""The sequential sample-ratio check; the fixed one is tested with the statistics."""

import numpy as np
import pytest

from campaign_pipeline.analytics.experiments.sample_ratio import SRM_ALPHA, sequential_sample_ratio
from campaign_pipeline.analytics.experiments.sequential import best_rho

EVEN = {"a": 1.0, "b": 1.0}


def test_it_is_one_over_the_bayes_factor_of_a_dirichlet_mixture():
    k = best_rho(1_000, SRM_ALPHA)
    assert sequential_sample_ratio({"a": 1, "b": 0}, EVEN, 1_000) == pytest.approx(1)
    # P(4 of a) is a rising product under the mixture, and 1/16 without it
    mixed = np.prod([(k / 2 + i) / (k + i) for i in range(4)])
    assert sequential_sample_ratio({"a": 4, "b": 0}, EVEN, 1_000) == pytest.approx(1 / (mixed * 16))
    assert sequential_sample_ratio({"a": 500, "b": 500}, EVEN, 1_000) == 1


def test_what_the_fixed_check_sees_clearly_it_sees_too():
    assert sequential_sample_ratio({"a": 300, "b": 150}, EVEN, 450) < 1e-8
    assert sequential_sample_ratio({"a": 50_000, "b": 51_500}, EVEN, 100_000) < SRM_ALPHA
    assert sequential_sample_ratio({"a": 44_700, "b": 45_489}, EVEN, 90_189) > 0.05  # fixed p is 0.0086


def test_without_anything_to_compare_there_is_none():
    assert sequential_sample_ratio({"a": 5}, {"a": 1}, 5) is None
    assert sequential_sample_ratio({"a": 0, "b": 0}, EVEN, 1) is None


def test_fifty_looks_at_units_that_are_assigned_as_planned_seldom_alarm():
    random, alarms, tests = np.random.default_rng(3), 0, 400
    for _ in range(tests):
        counts = random.multinomial(100, [0.5, 0.3, 0.2], 50).cumsum(axis=0)
        weights = {"a": 5, "b": 3, "c": 2}
        looks = [dict(zip("abc", map(int, row), strict=True)) for row in counts]
        alarms += any(sequential_sample_ratio(look, weights, 5_000) < 0.05 for look in looks)
    assert alarms / tests <= 0.05
