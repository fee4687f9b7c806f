"""Tests and intervals against published and textbook values, and where there must be none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind_from_stats

from campaign_pipeline.analytics.experiments.sample_ratio import sample_ratio
from campaign_pipeline.analytics.statistics import (
    Comparison,
    Error,
    Sample,
    compare_means,
    compare_proportions,
    wilson_interval,
)
from campaign_pipeline.core.errors import InvalidInput


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-9)


def test_a_two_proportion_test_equals_the_formula():
    result = compare_proportions(Sample.proportion(10_000, 500), Sample.proportion(10_000, 570))
    pooled = 1070 / 20_000
    assert result.absolute == close(0.007)
    assert result.statistic == close(0.007 / math.sqrt(pooled * (1 - pooled) * 2 / 10_000))
    half = 1.959963984540054 * math.sqrt(0.05 * 0.95 / 10_000 + 0.057 * 0.943 / 10_000)
    assert (result.absolute_low, result.absolute_high) == (close(0.007 - half), close(0.007 + half))


def test_the_relative_interval_is_by_the_log_delta_method():
    result = compare_proportions(Sample.proportion(10_000, 500), Sample.proportion(10_000, 570))
    half = 1.959963984540054 * math.sqrt(0.95 / 500 + 0.943 / 570)
    assert result.relative == close(0.14)
    assert result.relative_low == close(1.14 * math.exp(-half) - 1)
    assert result.relative_high == close(1.14 * math.exp(half) - 1)
    assert (round(result.relative_low, 4), round(result.relative_high, 3)) == (0.0143, 0.281)  # as in the literature


def test_means_are_compared_by_welch():
    result = compare_means(Sample(40, 10.0, 4.0), Sample(25, 11.5, 9.0))
    expected = ttest_ind_from_stats(11.5, 3.0, 25, 10.0, 2.0, 40, equal_var=False)
    assert (result.test, result.statistic, result.p) == ("welch", close(expected.statistic), close(expected.pvalue))
    assert result.df == close((0.1 + 0.36) ** 2 / (0.1**2 / 39 + 0.36**2 / 24))


@pytest.mark.parametrize(
    ("control", "treatment", "error"),
    [
        (Sample.proportion(0, 0), Sample.proportion(10, 3), Error.NO_UNITS),
        (Sample.proportion(10, 3), Sample.proportion(0, 0), Error.NO_UNITS),
        (Sample.proportion(10, 0), Sample.proportion(20, 0), Error.ZERO_VARIANCE),
        (Sample.proportion(10, 10), Sample.proportion(20, 20), Error.ZERO_VARIANCE),
        (Sample.proportion(10, 0), Sample.proportion(20, 20), Error.ZERO_VARIANCE),
    ],
)
def test_a_comparison_of_proportions_that_cannot_be_made_has_an_error_and_no_figure(control, treatment, error):
    assert compare_proportions(control, treatment) == Comparison(error=error)


@pytest.mark.parametrize(
    ("control", "treatment", "error"),
    [
        (Sample(0, None), Sample(5, 1.0, 1.0), Error.NO_UNITS),
        (Sample(1, 2.0, None), Sample(5, 1.0, 1.0), Error.ONE_UNIT),
        (Sample(5, 2.0, 0.0), Sample(5, 1.0, 0.0), Error.ZERO_VARIANCE),
    ],
)
def test_a_comparison_of_means_that_cannot_be_made_has_an_error_and_no_figure(control, treatment, error):
    assert compare_means(control, treatment) == Comparison(error=error)


def test_one_arm_without_variance_is_still_compared():
    assert compare_means(Sample(5, 2.0, 0.0), Sample(5, 1.0, 1.0)).df == close(4.0)
    result = compare_proportions(Sample.proportion(1000, 0), Sample.proportion(1000, 10))
    assert (result.error, result.relative, result.relative_low) == ("", None, None)
    assert result.p == close(math.erfc(math.sqrt(0.01**2 / (0.005 * 0.995 * 2 / 1000)) / math.sqrt(2)))


def test_a_treatment_of_nothing_has_a_relative_lift_but_no_interval_of_it():
    result = compare_proportions(Sample.proportion(1000, 10), Sample.proportion(1000, 0))
    assert (result.relative, result.relative_low, result.relative_high) == (-1.0, None, None)


def test_means_that_are_zero_or_negative_have_no_relative_lift():
    result = compare_means(Sample(50, -1.0, 1.0), Sample(50, 1.0, 1.0))
    assert (result.absolute, result.relative) == (2.0, None)
    assert compare_means(Sample(50, 0.0, 1.0), Sample(50, 1.0, 1.0)).relative is None


def test_a_mean_that_is_nothing_but_noise_is_compared_and_has_no_relative_interval():
    found = compare_means(Sample(50, 3.0, 40_000.0), Sample(50, 1e-9, 40_000.0))
    expected = ttest_ind_from_stats(1e-9, 200.0, 50, 3.0, 200.0, 50, equal_var=False)
    assert (found.absolute, found.statistic, found.p) == (
        -3.0 + 1e-9,
        close(expected.statistic),
        close(expected.pvalue),
    )
    assert (found.relative, found.relative_low) == (close(1e-9 / 3 - 1), None)
    assert compare_means(Sample(50, 1e-9, 40_000.0), Sample(50, 3.0, 40_000.0)).relative is None


def test_wilson_intervals_stay_within_zero_and_one():
    low, high = wilson_interval(Sample.proportion(10, 0))
    assert (low, high) == (0.0, close(1.959963984540054**2 / (10 + 1.959963984540054**2)))


def test_the_sample_ratio_check_takes_weights_and_more_than_two_variants():
    assert sample_ratio({"a": 500, "b": 500}, {"a": 1, "b": 1}) == (0.0, 1.0)
    chi2, p = sample_ratio({"a": 80, "b": 20}, {"a": 90, "b": 10})
    assert (chi2, p) == (close(100 / 90 + 100 / 10), close(math.erfc(math.sqrt((100 / 90 + 10) / 2))))
    chi2, p = sample_ratio({"a": 10, "b": 20, "c": 30}, {"a": 1, "b": 1, "c": 1})
    assert (chi2, p) == (close(10.0), close(math.exp(-5)))


def test_without_anything_to_compare_there_is_no_sample_ratio():
    assert sample_ratio({"a": 5}, {"a": 1}) is None
    assert sample_ratio({"a": 0, "b": 0}, {"a": 1, "b": 1}) is None


def test_weights_must_be_positive_and_name_the_variants():
    with pytest.raises(InvalidInput, match="units are in"):
        sample_ratio({"a": 5, "b": 5}, {"a": 1, "c": 1})
    with pytest.raises(InvalidInput, match="positive"):
        sample_ratio({"a": 5, "b": 5}, {"a": 1, "b": 0})


arms = st.integers(0, 10_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@given(arms, arms)
def test_every_comparison_has_either_an_error_or_finite_figures_and_is_symmetric(control, treatment):
    there = compare_proportions(Sample.proportion(*control), Sample.proportion(*treatment))
    back = compare_proportions(Sample.proportion(*treatment), Sample.proportion(*control))
    if there.error:
        assert there == Comparison(error=there.error)
        assert back.error == there.error
        return
    assert 0 <= there.p <= 1
    assert there.absolute_low <= there.absolute <= there.absolute_high
    assert there.score_low - 1e-12 <= there.absolute <= there.score_high + 1e-12
    assert there.statistic == pytest.approx(-back.statistic, abs=1e-12)
    figures = [getattr(there, name) for name in ("absolute_low", "absolute_high", "statistic", "p", "score_low")]
    relatives = [there.relative, there.relative_low, there.relative_high]
    assert all(math.isfinite(value) for value in [*figures, *(value for value in relatives if value is not None)])
