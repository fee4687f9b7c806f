"""Needed sample, detectable effect and power against published values, tea-tasting, and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import Mean

from campaign_pipeline.analytics.experiments.planning import Plan
from campaign_pipeline.core.errors import InvalidInput

EVEN = {"a": 1.0, "b": 1.0}


def test_a_proportion_needs_what_r_says():
    """power.prop.test with p1 = .50, p2 = .75: power = .90 gives n = 76.7 in each group, n = 50 a power of 0.740."""
    assert Plan(0.5, None, "a", EVEN, power=0.9).units_for(0.25) == 154  # 2 x 76.7, rounded up
    assert round(Plan(0.5, None, "a", EVEN).power_at(0.25, 100), 3) == 0.740


def test_means_need_what_tea_tasting_says():
    plan = Plan(20.0, 144.0, "a", {"a": 2.0, "b": 1.0}, alpha=0.01, power=0.9)
    data = Aggregates(1000, {"x": 20.0}, {"x": 144.0})
    options = {"alpha": 0.01, "power": 0.9, "ratio": 0.5, "use_t": False, "equal_var": False, "effect_size": 1.5}
    assert plan.units_for(1.5) == Mean("x", **options).solve_power_from_aggregates(data, "n_obs")[0].n_obs
    options |= {"effect_size": None, "n_obs": 5000}
    theirs = Mean("x", **options).solve_power_from_aggregates(data, "effect_size")[0].effect_size
    assert plan.detectable(5000) == pytest.approx(theirs, rel=1e-6)


def test_several_treatments_are_planned_at_a_share_of_alpha_for_the_smallest():
    three = Plan(0.1, None, "a", {"a": 2.0, "b": 1.0, "c": 1.0})
    pair = Plan(0.1, None, "a", {"a": 2.0, "b": 1.0}, alpha=0.025)
    assert three.alpha_each == 0.025
    assert three.units_for(0.02) == pytest.approx(pair.units_for(0.02) * 4 / 3, abs=2)
    assert three.by_arm(4001) == {"a": 2001, "b": 1001, "c": 1001}


def test_the_planned_power_is_had_by_simulation():
    plan = Plan(0.1, None, "a", {"a": 1.0, "b": 3.0}, power=0.8)
    arms = plan.by_arm(plan.units_for(0.02))
    random = np.random.default_rng(5)
    c, t = random.binomial(arms["a"], 0.1, 20_000) / arms["a"], random.binomial(arms["b"], 0.12, 20_000) / arms["b"]
    pooled = (c * arms["a"] + t * arms["b"]) / sum(arms.values())
    z = (t - c) / np.sqrt(pooled * (1 - pooled) * (1 / arms["a"] + 1 / arms["b"]))
    assert float((np.abs(z) > norm.isf(0.025)).mean()) == pytest.approx(0.8, abs=0.012)


def test_a_sequential_test_needs_more_for_the_right_to_look():
    fixed, sequential = (Plan(0.1, None, "a", EVEN, sequential=mode) for mode in (False, True))
    assert round(sequential.critical, 3) == 3.035
    assert 1.7 < sequential.units_for(0.01) / fixed.units_for(0.01) < 2.0
    assert sequential.power_at(0.01, sequential.units_for(0.01)) == pytest.approx(0.8, abs=0.001)


@given(st.floats(0.01, 0.5), st.integers(2_000, 1_000_000), st.booleans())
def test_the_detectable_effect_has_the_planned_power_and_needs_the_units_it_came_from(rate, units, sequential):
    plan = Plan(rate, None, "a", EVEN, sequential=sequential)
    effect = plan.detectable(units)
    assert plan.power_at(effect, units) == pytest.approx(0.8, abs=1e-6)
    assert plan.units_for(effect) == pytest.approx(units, rel=1e-3, abs=2)


def test_what_cannot_be_detected_has_no_figure():
    assert Plan(0.9, None, "a", EVEN).detectable(10) is None
    assert Plan(0.9, None, "a", EVEN).detectable(0) is None


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Plan(5.0, None, "a", EVEN), "baseline of 5 is not a rate"),
        (lambda: Plan(5.0, 0.0, "a", EVEN), "spread"),
        (lambda: Plan(0.1, None, "a", {"a": 1.0}), "at least one other arm"),
        (lambda: Plan(0.1, None, "a", {"a": 1.0, "b": 0.0}), "weights must be positive"),
        (lambda: Plan(0.1, None, "a", EVEN, power=1.0), "power must be between"),
        (lambda: Plan(0.6, None, "a", EVEN).units_for(0.5), "cannot change by"),
        (lambda: Plan(0.6, None, "a", EVEN).units_for(0), "difference of 0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_told(make, problem):
    with pytest.raises(InvalidInput, match=problem):
        make()
