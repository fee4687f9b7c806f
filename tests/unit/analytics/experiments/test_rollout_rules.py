"""What a roll-out decides, by figures and time; and that batches by Thompson sampling lose less than a fixed test."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from campaign_pipeline.analytics.experiments.rollout import choose_winner, pooled, thompson_part
from campaign_pipeline.campaigns.rollout import Thompson, Winner

HOUR = timedelta(hours=1)
RULE = Winner(method="winner", decide_after="4h", timeout="24h", max_expected_loss=0.01)


def goal(**changes: Any) -> pl.DataFrame:
    """a (the control) at 10 %, b at 12 % and probably the best."""
    rows = [
        {"variant": "a", "is_control": True, "mean": 0.10, "prob_best": 0.03, "expected_loss": 0.02},
        {"variant": "b", "is_control": False, "mean": 0.12, "prob_best": 0.97, "expected_loss": 0.0001},
    ]
    common = {"metric": "clicked", "metric_type": "proportion", "n": 1000, "units": 1000, "error": "", "seq_p": 0.2}
    shared = {"srm_seq_p": 0.9, "seq_low": None, "seq_high": None, "variance": 0.1} | changes
    frame = pl.DataFrame([common | shared | row for row in rows])
    return frame.with_columns(pl.col("seq_low", "seq_high").cast(pl.Float64))


def test_the_best_wins_at_the_time_if_it_costs_little() -> None:
    assert choose_winner(RULE, goal(), 3 * HOUR).weights is None
    choice = choose_winner(RULE, goal(), 4 * HOUR)
    assert choice.weights == {"b": 1.0}
    assert "97.0%" in choice.reason
    assert "0.10% of the control's mean" in choice.reason


def test_the_loss_is_a_share_of_the_controls_mean() -> None:
    rows = goal().with_columns(expected_loss=pl.when("is_control").then(0.02).otherwise(0.0011))
    assert choose_winner(RULE, rows, 4 * HOUR).weights is None  # 1.1 % of 0.10
    rows = goal().with_columns(expected_loss=pl.when("is_control").then(0.02).otherwise(0.0009))
    assert choose_winner(RULE, rows, 4 * HOUR).weights == {"b": 1.0}


def test_a_sequential_rule_decides_before_its_time_when_the_interval_has_left_zero() -> None:
    early = RULE.model_copy(update={"decide_when": "sequential"})
    assert choose_winner(early, goal(), HOUR).weights is None
    assert choose_winner(early, goal(seq_low=0.001, seq_high=0.04), HOUR).weights == {"b": 1.0}
    assert choose_winner(early, goal(seq_low=-0.04, seq_high=-0.001), HOUR).weights == {"b": 1.0}
    assert choose_winner(RULE, goal(seq_low=0.001, seq_high=0.04), HOUR).weights is None  # its time counts alone


@pytest.mark.parametrize(("on_timeout", "expected"), [("control", "a"), ("best", "b")])
def test_the_timeout_decides_what_figures_do_not(on_timeout: str, expected: str) -> None:
    rule = RULE.model_copy(update={"on_timeout": on_timeout})
    rows = goal().with_columns(expected_loss=pl.lit(0.05))
    assert choose_winner(rule, rows, 23 * HOUR).weights is None
    assert choose_winner(rule, rows, 24 * HOUR).weights == {expected: 1.0}


def test_a_sample_ratio_that_cannot_be_chance_blocks_until_the_timeout_and_then_the_control_it_is() -> None:
    best = RULE.model_copy(update={"on_timeout": "best"})
    waits = choose_winner(best, goal(srm_seq_p=0.0005), 5 * HOUR)
    assert waits.weights is None
    assert "sizes" in waits.reason
    assert choose_winner(best, goal(srm_seq_p=0.0005), 24 * HOUR).weights == {"a": 1.0}


def test_without_figures_it_waits_and_never_takes_nothing_for_a_number() -> None:
    rows = goal().with_columns(prob_best=pl.lit(None, pl.Float64), expected_loss=pl.lit(None, pl.Float64))
    assert choose_winner(RULE, rows, 5 * HOUR).weights is None
    assert choose_winner(RULE.model_copy(update={"on_timeout": "best"}), rows, 24 * HOUR).weights == {"a": 1.0}
    zero = goal().with_columns(mean=pl.lit(0.0))
    assert choose_winner(RULE, zero, 5 * HOUR).weights is None


def test_pooling_parts_is_the_sample_of_all_of_them_together() -> None:
    made = np.random.default_rng(1)
    values = [made.normal(2, 3, size) for size in (10, 200, 1)]
    parts = [
        pl.DataFrame({"variant": ["a"], "n": [len(each)], "mean": [each.mean()], "variance": [_variance(each)]})
        for each in values
    ]
    every = np.concatenate(values)
    found = pooled(parts, "a")
    assert (found.n, found.mean) == (211, pytest.approx(every.mean(), abs=1e-12))
    assert found.variance == pytest.approx(every.var(ddof=1), abs=1e-9)
    assert pooled(parts, "b").n == 0


def _variance(values: Any) -> float | None:
    return float(values.var(ddof=1)) if len(values) > 1 else None


def rows_of(successes: dict[str, tuple[int, int]]) -> pl.DataFrame:
    """(successes, n) by arm."""
    return pl.DataFrame(
        [
            {
                "variant": name,
                "metric_type": "proportion",
                "n": n,
                "mean": good / n if n else None,
                "variance": (good / n) * (1 - good / n) * n / (n - 1) if n > 1 else None,
            }
            for name, (good, n) in successes.items()
        ],
        schema={
            "variant": pl.String,
            "metric_type": pl.String,
            "n": pl.Int64,
            "mean": pl.Float64,
            "variance": pl.Float64,
        },
    )


def test_batches_follow_the_figures_and_every_arm_keeps_its_floor_and_its_least() -> None:
    rule = Thompson(method="thompson", floor=0.05, at_least=100)
    part = rows_of({"a": (100, 1000), "b": (180, 1000)})
    weights = thompson_part(rule, ["a", "b"], [part], 10_000, lower_is_better=False).weights
    assert weights is not None
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["a"] == pytest.approx(0.05, abs=1e-3)
    few = thompson_part(rule, ["a", "b"], [part], 500, lower_is_better=False).weights
    assert few is not None
    assert few["a"] == pytest.approx(0.2, abs=1e-3)  # 100 of 500
    tiny = thompson_part(rule, ["a", "b"], [part], 20, lower_is_better=False).weights
    assert tiny == {"a": pytest.approx(0.5), "b": pytest.approx(0.5)}
    fewer_is_better = thompson_part(rule, ["a", "b"], [part], 10_000, lower_is_better=True).weights
    assert fewer_is_better is not None
    assert fewer_is_better["a"] > 0.9


def test_an_arm_without_a_figure_means_equal_shares() -> None:
    rule = Thompson(method="thompson")
    choice = thompson_part(rule, ["a", "b"], [rows_of({"a": (1, 10), "b": (0, 0)})], 1000, lower_is_better=False)
    assert choice.weights == {"a": 0.5, "b": 0.5}
    assert "no figure of b" in choice.reason


def test_a_first_part_without_anybody_does_not_make_a_share_something_else() -> None:
    rule = Thompson(method="thompson", at_least=0)
    part = rows_of({"a": (0, 1000), "b": (20, 1000)})  # only as a share has a rate of 0 a spread
    found = thompson_part(rule, ["a", "b"], [part.clear(), part], 10_000, lower_is_better=False)
    assert found == thompson_part(rule, ["a", "b"], [part], 10_000, lower_is_better=False)
    assert found.weights is not None
    assert found.weights["b"] > 0.9


@pytest.mark.parametrize("rates", [(0.10, 0.11), (0.10, 0.10, 0.11, 0.12)])
def test_thompson_loses_less_than_a_fixed_test_of_a_tenth(rates: tuple[float, ...]) -> None:
    made, size, batches, times, tests = np.random.default_rng(7), 20_000, 10, 60, 3_000
    names = [f"v{number}" for number in range(len(rates))]
    rule = Thompson(method="thompson", batches=batches)
    lost: dict[str, float] = {"fixed": 0.0, "thompson": 0.0}
    for _ in range(tests):  # many: what one test loses is all or nothing
        tested = {name: _draw(made, rate, size // 10 // len(rates)) for name, rate in zip(names, rates, strict=True)}
        winner = max(names, key=lambda name: tested[name][0] / tested[name][1])
        spread = {name: n for name, (_, n) in tested.items()}
        spread[winner] += size - sum(spread.values())
        lost["fixed"] += _regret(spread, names, rates) / tests
    for _ in range(times):
        parts: list[pl.DataFrame] = []
        sent = dict.fromkeys(names, 0)
        weights = dict.fromkeys(names, 1 / len(names))
        for _batch in range(batches):
            counts = {name: round(weights[name] * size / batches) for name in names}
            parts.append(
                rows_of({name: _draw(made, rate, counts[name]) for name, rate in zip(names, rates, strict=True)})
            )
            sent = {name: sent[name] + counts[name] for name in names}
            choice = thompson_part(rule, names, parts, size // batches, lower_is_better=False)
            assert choice.weights is not None
            weights = dict(choice.weights)
        lost["thompson"] += _regret(sent, names, rates) / times
    assert lost["thompson"] < lost["fixed"]


def _draw(made: np.random.Generator, rate: float, n: int) -> tuple[int, int]:
    return int(made.binomial(n, rate)), n


def _regret(spread: dict[str, int], names: list[str], rates: tuple[float, ...]) -> float:
    return sum(spread[name] * (max(rates) - rate) for name, rate in zip(names, rates, strict=True))
