"""Posterior probabilities and expected losses against closed forms and identities."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from campaign_pipeline.analytics.experiments.bandits import thompson_weights
from campaign_pipeline.analytics.experiments.posteriors import (
    Posterior,
    beats,
    best,
    expected_losses,
    loss,
    posterior_of,
    top_two,
)
from campaign_pipeline.analytics.statistics import Sample
from campaign_pipeline.core.errors import InvalidInput


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("sds", [(0.3, 0.4), (1e-6, 0.4), (0.3, 1e-6)])
def test_two_arms_have_a_closed_form(sds):
    arms = {"a": Posterior(1.0, sds[0]), "b": Posterior(1.2, sds[1])}
    se = math.hypot(*sds)
    assert best(arms) == {"a": close(beats(-0.2, se)), "b": close(beats(0.2, se))}
    assert expected_losses(arms) == {"a": close(loss(0.2, se)), "b": close(loss(-0.2, se))}
    assert loss(0.2, se) == close(0.2 * norm.cdf(0.2 / se) + se * norm.pdf(0.2 / se))


def test_three_equal_arms_share_and_lose_what_the_largest_of_three_normals_gains():
    arms = dict.fromkeys("abc", Posterior(5.0, 2.0))
    assert best(arms) == dict.fromkeys("abc", close(1 / 3))
    assert top_two(arms) == dict.fromkeys("abc", close(1 / 3))
    assert expected_losses(arms) == dict.fromkeys("abc", close(2 * 3 / (2 * math.sqrt(math.pi))))


def test_lower_is_better_turns_everything_round():
    arms = {"a": Posterior(1.0, 0.3), "b": Posterior(1.2, 0.4), "c": Posterior(0.7, 0.2)}
    turned = {name: Posterior(-arm.mean, arm.sd) for name, arm in arms.items()}
    assert best(arms, lower_is_better=True) == best(turned)
    assert expected_losses(arms, lower_is_better=True) == expected_losses(turned)


posteriors = st.builds(Posterior, st.floats(-3, 3), st.floats(0.001, 5))


@given(st.lists(posteriors, min_size=2, max_size=6))
def test_probabilities_add_up_and_losses_differ_as_the_means_do(arms):
    named = {str(index): arm for index, arm in enumerate(arms)}
    assert sum(best(named).values()) == pytest.approx(1)
    assert sum(top_two(named).values()) == pytest.approx(1)
    losses = expected_losses(named)
    for name, arm in named.items():  # E[max] - mean: the same sum for every arm
        assert losses[name] + arm.mean == pytest.approx(losses["0"] + named["0"].mean, rel=1e-7, abs=1e-7)
        assert losses[name] >= 0


def test_a_small_loss_keeps_its_digits():
    arms = {"a": Posterior(0.0, 0.01), "b": Posterior(0.08, 0.01), "c": Posterior(-5.0, 0.01)}
    assert expected_losses(arms)["b"] == pytest.approx(loss(-0.08, 0.01 * math.sqrt(2)), rel=1e-9)
    assert expected_losses(arms)["b"] < 1e-9


def test_a_share_of_nothing_is_believed_with_the_spread_of_laplace():
    nothing = posterior_of(Sample.proportion(1000, 0), share=True)
    rate = 1 / 1002
    assert nothing == Posterior(0.0, close(math.sqrt(rate * (1 - rate) / 1000)))
    assert posterior_of(Sample.proportion(100, 20), share=True) == Posterior(0.2, close(0.04))
    assert posterior_of(Sample(50, 3.0, 0.0), share=False) is None
    assert posterior_of(Sample(1, 3.0), share=False) is None
    assert posterior_of(Sample(0, None), share=True) is None


def test_thompson_weights_have_an_additive_floor():
    arms = {"a": Posterior(0.05, 0.007), "b": Posterior(0.06, 0.007), "c": Posterior(0.04, 0.007)}
    chances, weights = best(arms), thompson_weights(arms, floor=0.05)
    assert weights == {name: close(0.05 + 0.85 * chance) for name, chance in chances.items()}
    assert sum(weights.values()) == close(1.0)
    spread = thompson_weights(arms, floor=0.05, second=True)
    assert max(spread.values()) < max(weights.values())
    assert thompson_weights({"a": arms["a"]}) == {"a": close(1.0)}
    with pytest.raises(InvalidInput, match=r"floor of 0\.4"):
        thompson_weights(arms, floor=0.4)
    with pytest.raises(InvalidInput, match="no arms"):
        thompson_weights({})
