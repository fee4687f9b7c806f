"""The statistics of experiments against other engines: equal, or different by a convention that is named and shown."""

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy.stats import norm, t

from campaign_pipeline.analytics.experiments.bandits import thompson_weights
from campaign_pipeline.analytics.experiments.cuped import adjust
from campaign_pipeline.analytics.experiments.design import MetricKind
from campaign_pipeline.analytics.experiments.posteriors import Posterior, beats, best, loss
from campaign_pipeline.analytics.experiments.sample_ratio import sample_ratio
from campaign_pipeline.analytics.experiments.samples import Moments
from campaign_pipeline.analytics.experiments.sequential import (
    best_rho,
    boundary,
    interval,
    log_mixture,
    one_sided_boundary,
    p_value,
)
from campaign_pipeline.analytics.statistics import (
    RelativeMethod,
    Sample,
    compare_means,
    compare_proportions,
    relative_error,
)
from campaign_pipeline.core.errors import InvalidInput

Case = dict[str, Any]
ALPHA = 0.05
TUNING = 5000  # GrowthBook's default N*


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-14)


@pytest.fixture(scope="session")
def oracle(shared_data: Path) -> Case:
    return json.loads((shared_data / "ref" / "gbstats_oracle.json").read_text())


def moments(kind: str, given: Case) -> Moments:
    """From the sums of the oracle."""
    if kind == "mean":
        mean, variance = _mean(given), _variance(given)
        return Moments(given["n"], mean, variance)
    first, second, product = ("m", "d", "md") if kind == "ratio" else ("post", "pre", "pp")
    above, beside = given[first], given[second]
    n = above["n"]
    both = (given[product] - above["sum"] * beside["sum"] / n) / (n - 1)
    prefix = "denominator" if kind == "ratio" else "covariate"
    more = {f"{prefix}_mean": _mean(beside), f"{prefix}_variance": _variance(beside), f"{prefix}_covariance": both}
    return Moments(n, _mean(above), _variance(above), **more)


def _mean(sums: Case) -> float:
    return sums["sum"] / sums["n"]


def _variance(sums: Case) -> float:
    return (sums["sum_squares"] - sums["sum"] ** 2 / sums["n"]) / (sums["n"] - 1)


def samples(case: Case) -> tuple[Sample, Sample]:
    kind, given = case["kind"], case["input"]
    if kind == "proportion":
        rates = given["x_a"] / given["n_a"], given["x_b"] / given["n_b"]
        return (
            Sample(given["n_a"], rates[0], rates[0] * (1 - rates[0])),
            Sample(given["n_b"], rates[1], rates[1] * (1 - rates[1])),
        )
    arms = {name: moments(kind, given[name]) for name in "ab"}
    if kind == "cuped":
        adjusted = adjust(arms, "a")
        assert adjusted is not None
        assert adjusted.theta == close(given["theta"])
        return adjusted.samples["a"], adjusted.samples["b"]
    return tuple(arm.sample(MetricKind(kind)) for arm in arms.values())


def usable(oracle: Case, difference: str, *, cuped: bool = True) -> list[Case]:
    cases = [case for case in oracle["ab"] if not case["error"] and case["difference"] == difference]
    return [case for case in cases if cuped or case["kind"] != "cuped"]


def same_figures(case: Case, estimate: float, error: float, df: float, n: int) -> None:
    """GrowthBook's frequentist, sequential and Bayesian figures of one estimate."""
    assert estimate == close(case["expected"])
    half = float(t.ppf(1 - ALPHA / 2, df)) * error
    assert [estimate - half, estimate + half] == [close(end) for end in case["ci"]]
    assert 2 * t.sf(abs(estimate / error), df) == close(case["p"])
    assert list(interval(estimate, error, n, TUNING, ALPHA)) == [close(end) for end in case["seq_ci"]]
    assert p_value(estimate, error, n, TUNING, ALPHA) == close(case["seq_p"])
    z = float(norm.isf(ALPHA / 2)) * error
    assert [estimate - z, estimate + z] == [close(end) for end in case["bayes_ci"]]
    assert beats(estimate, error) == close(case["chance_to_win"])
    assert [loss(estimate, error), loss(-estimate, error)] == [close(risk) for risk in case["risk"]]


def test_all_absolute_comparisons_equal_growthbook_s(oracle):
    """As means by Welch's test; CUPED and ratios are samples like any other."""
    cases = usable(oracle, "absolute")
    for case in cases:
        control, treatment = samples(case)
        found = compare_means(control, treatment)
        same_figures(case, found.absolute, found.standard_error, found.df, control.n + treatment.n)
    assert len(cases) == 17


def test_all_relative_comparisons_equal_growthbook_s_with_the_linear_method(oracle):
    cases = usable(oracle, "relative", cuped=False)
    for case in cases:
        control, treatment = samples(case)
        found = compare_means(control, treatment, method=RelativeMethod.LINEAR)
        variances = control.variance / control.n, treatment.variance / treatment.n
        error = relative_error(control.mean, treatment.mean, variances)
        same_figures(case, found.relative, error, found.df, control.n + treatment.n)
        assert [found.relative_low, found.relative_high] == [close(end) for end in case["ci"]]
    assert len(cases) == 13


def test_our_relative_lift_with_cuped_is_over_the_adjusted_control_and_growthbook_s_over_the_plain_one(oracle):
    """Theirs: the adjusted difference over the control's own mean, with the covariance of the two in its variance."""
    cases = [case for case in usable(oracle, "relative") if case["kind"] == "cuped"]
    for case in cases:
        given, theta = case["input"], case["input"]["theta"]
        a, b = (moments("cuped", given[name]) for name in "ab")
        control, treatment = samples(case)
        difference = treatment.mean - control.mean
        ours = compare_means(control, treatment, method=RelativeMethod.LINEAR)
        assert ours.relative == close(difference / control.mean)
        assert ours.relative != pytest.approx(case["expected"], rel=1e-6)
        assert difference / a.mean == close(case["expected"])
        ratio = b.mean / a.mean
        spread = a.variance * ratio**2 - 2 * theta * a.covariate_covariance * ratio + theta**2 * a.covariate_variance
        parts = spread / a.n / a.mean**2, treatment.variance / b.n / a.mean**2
        same_figures(case, difference / a.mean, math.sqrt(sum(parts)), ours.df, a.n + b.n)
    assert len(cases) == 4


def test_where_an_arm_has_no_variance_growthbook_has_an_error_and_a_pooled_test_still_a_figure(oracle):
    cases = [case for case in oracle["ab"] if case["error"]]
    figures = set()
    for case in cases:
        assert case["error"] == "ZERO_NEGATIVE_VARIANCE"
        assert (case["expected"], case["p"], case["chance_to_win"]) == (0.0, 1.0, 0.5)  # figures of a failure
        n_a, x_a, n_b, x_b = case["input"].values()
        found = compare_proportions(Sample.proportion(n_a, x_a), Sample.proportion(n_b, x_b))
        figures.add((x_a, n_a, found.error, None if found.p is None else round(found.p, 6)))
    assert figures == {(0, 1000, "", 0.001523), (100, 100, "zero_variance", None), (1, 1, "", 0.338352)}
    assert len(cases) == 6


def test_proportions_are_tested_with_the_pooled_variance_where_growthbook_has_welch(oracle):
    """The interval, which is unpooled in both, differs by the quantile alone: 1.95996 against Welch's t."""
    for case in usable(oracle, "absolute"):
        if case["kind"] == "proportion":
            control, treatment = samples(case)
            found = compare_proportions(control, treatment)
            df = compare_means(control, treatment).df
            half = (case["ci"][1] - case["ci"][0]) / 2
            assert (found.absolute_high - found.absolute_low) / 2 == close(half * norm.isf(0.025) / t.isf(0.025, df))
            if case["expected"]:
                assert found.p != pytest.approx(case["p"], rel=1e-6)
                assert found.p == pytest.approx(case["p"], rel=0.06)


def test_the_two_relative_intervals_are_those_of_the_literature():
    arms = Sample.proportion(10_000, 500), Sample.proportion(10_000, 570)
    log = compare_proportions(*arms)
    linear = compare_proportions(*arms, method=RelativeMethod.LINEAR)
    assert (round(log.relative_low, 4), round(log.relative_high, 3)) == (0.0143, 0.281)
    assert (round(linear.relative_low, 4), round(linear.relative_high, 3)) == (0.0068, 0.273)


def test_sample_ratios_equal_growthbook_s_save_for_arms_without_weight(oracle):
    for case in oracle["srm"]:
        names = [str(index) for index in range(len(case["users"]))]
        users, weights = dict(zip(names, case["users"], strict=True)), dict(zip(names, case["weights"], strict=True))
        if 0 in case["weights"]:  # theirs leaves such an arm out and counts it as a degree of freedom all the same
            with pytest.raises(InvalidInput, match="must be positive"):
                sample_ratio(users, weights)
            kept = [name for name in names if weights[name]]
            chi2, p = sample_ratio({name: users[name] for name in kept}, {name: weights[name] for name in kept})
            assert p == close(math.exp(-chi2 / 2))
            assert p == pytest.approx(0.00911, abs=1e-5)
            assert case["p"] == pytest.approx(0.02446, abs=1e-5)
        else:
            assert sample_ratio(users, weights)[1] == close(case["p"])


def test_bandit_weights_are_growthbook_s_without_its_noise(oracle):
    """Theirs are counts of 10,000 draws, ours integrals; the floor is additive in both."""
    for case in oracle["bandit"]:
        arms = {}
        for index, (n, successes) in enumerate(case["arms"]):
            rate = successes / n
            arms[str(index)] = Posterior(rate, math.sqrt(rate * (1 - rate) / n))
        chances = list(best(arms).values())
        for ours, theirs in zip(chances, case["best_arm"], strict=True):
            assert ours == pytest.approx(theirs, abs=4 * math.sqrt(max(ours * (1 - ours), 1e-4) / 10_000))
        if case["weights"]:
            weights = list(thompson_weights(arms, floor=0.01, second=case["top_two"]).values())
            assert weights == [pytest.approx(weight, abs=0.02) for weight in case["weights"]]
        else:
            assert min(n for n, _ in case["arms"]) < 100  # too few, says theirs; ours leaves that to who asks


def test_boundaries_equal_confseq_s(shared_data):
    data = json.loads((shared_data / "ref" / "confseq_vectors.json").read_text())
    seen = []
    for case in data["cases"]:
        match case["fn"], case.get("one_sided"):
            case "best_rho", _:
                found = best_rho(case["v_opt"], case["alpha_opt"])
            case "normal_log_mixture", False:
                found = log_mixture(case["s"], case["v"], best_rho(case["v_opt"], case["alpha_opt"]))
            case "normal_mixture_bound", False:
                found = boundary(case["v"], best_rho(case["v_opt"], case["alpha_opt"]), case["alpha"])
            case "normal_mixture_bound", True:
                found = one_sided_boundary(case["v"], case["v_opt"], case["alpha"])
            case _:  # the beta-binomial mixture is for bounded values one by one, not for sums: we have no use for it
                assert case["fn"] == "beta_binomial_mixture_bound"
                continue
        seen.append(case["fn"])
        assert found == pytest.approx(case["expected"], abs=data["tol"])
    assert len(seen) == 4


@pytest.fixture(scope="session")
def asos(shared_data: Path) -> pl.DataFrame:
    """Every look with both variances, and what the two tests say at it."""
    looks = pl.read_csv(shared_data / "ab" / "asos.csv").drop_nulls()
    looks = looks.filter((pl.col("count_c") > 1) & (pl.col("count_t") > 1) & (pl.col("variance_c") > 0))
    stream = ["experiment_id", "variant_id", "metric_id"]
    return looks.sort(*stream, "time_since_start").with_columns(
        planned=(pl.col("count_c") + pl.col("count_t")).max().over(stream)
    )


def test_peeking_at_asos_finds_what_is_not_there_and_the_sequential_test_finds_less(shared_data, asos):
    reference = json.loads((shared_data / "ref" / "reference_ab.json").read_text())["asos"]
    fixed: dict[tuple[Any, ...], list[bool]] = {}
    sequential: dict[tuple[Any, ...], list[bool]] = {}
    c, n_c = asos["variance_c"].to_numpy(), asos["count_c"].to_numpy()
    v, n_t = asos["variance_t"].to_numpy(), asos["count_t"].to_numpy()
    difference = (asos["mean_t"] - asos["mean_c"]).to_numpy()
    error = (c / n_c + v / n_t) ** 0.5
    df = (c / n_c + v / n_t) ** 2 / ((c / n_c) ** 2 / (n_c - 1) + (v / n_t) ** 2 / (n_t - 1))
    p = 2 * t.sf(abs(difference / error), df)
    for index, row in enumerate(asos.iter_rows(named=True)):
        stream = (row["experiment_id"], row["variant_id"], row["metric_id"])
        units = row["count_c"] + row["count_t"]
        fixed.setdefault(stream, []).append(bool(p[index] < ALPHA))
        found = p_value(float(difference[index]), float(error[index]), units, row["planned"], ALPHA)
        sequential.setdefault(stream, []).append(found < ALPHA)
    assert sum(any(looks) for looks in fixed.values()) == reference["peeking_ever_sig05"] == 225
    assert sum(looks[-1] for looks in fixed.values()) == reference["sig05_all"] == 105
    assert not any(any(sequential[stream]) and not any(looks) for stream, looks in fixed.items())
    ever, last = (sum(pick(looks) for looks in sequential.values()) for pick in (any, lambda looks: looks[-1]))
    assert (ever, last) == (105, 60)  # that `ever` is what a single look at the end finds is chance: 74 are in both
    assert sum(any(sequential[stream]) and looks[-1] for stream, looks in fixed.items()) == 74
