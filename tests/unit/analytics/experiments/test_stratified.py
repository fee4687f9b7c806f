"""The result over all parts of a roll-out: fair where shares and rates change together, which one sample is not."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from campaign_pipeline.analytics.experiments.rollout import pooled
from campaign_pipeline.analytics.experiments.stratified import STRATIFIED, over_parts
from campaign_pipeline.analytics.statistics import Sample, compare_proportions


def part(successes: dict[str, tuple[int, int]]) -> pl.DataFrame:
    """The goal's result rows of one part, as far as they are read; (successes, units) by variant, `a` the control."""
    rows = [
        {
            "metric": "clicked",
            "metric_type": "proportion",
            "variant": name,
            "is_control": name == "a",
            "units": n,
            "n": n,
            "mean": good / n if n else None,
            "variance": None,
        }
        for name, (good, n) in successes.items()
    ]
    return pl.DataFrame(rows, schema_overrides={"mean": pl.Float64, "variance": pl.Float64})


def row(found: pl.DataFrame, variant: str) -> dict[str, Any]:
    return found.row(by_predicate=pl.col("variant") == variant, named=True)


def test_of_one_part_it_is_the_comparison_of_that_part() -> None:
    found = over_parts([part({"b": (570, 10_000), "a": (500, 10_000)})])
    assert dict(found.schema) == STRATIFIED
    assert found["variant"].to_list() == ["a", "b"]
    alone = compare_proportions(Sample(10_000, 0.05), Sample(10_000, 0.057))
    b = row(found, "b")
    for name in ("absolute", "absolute_low", "absolute_high", "standard_error"):
        assert b[name] == pytest.approx(getattr(alone, name), abs=1e-12), name
    spread = math.sqrt((0.05 * 0.95 + 0.057 * 0.943) / 10_000)
    assert b["p"] == pytest.approx(2 * norm.sf(0.007 / spread), abs=1e-12)
    assert row(found, "a")["absolute"] is None
    assert row(found, "a")["mean"] == pytest.approx(0.05)


def test_what_differs_between_parts_is_not_taken_for_a_difference_between_variants() -> None:
    parts = [part({"a": (100, 500), "b": (100, 500)}), part({"a": (5, 100), "b": (45, 900)})]
    one_sample = pooled(parts, "b").mean or 0, pooled(parts, "a").mean or 0
    assert one_sample[0] - one_sample[1] < -0.07  # it would say that b is far worse
    b = row(over_parts(parts), "b")
    assert (b["absolute"], b["p"]) == (pytest.approx(0), pytest.approx(1))
    assert (b["parts"], b["units"], b["mean"]) == (2, 1400, pytest.approx((0.2 + 0.05) / 2))


def test_parts_weigh_by_their_size() -> None:
    parts = [part({"a": (10, 100), "b": (20, 100)}), part({"a": (60, 300), "b": (60, 300)})]
    b = row(over_parts(parts), "b")
    assert b["absolute"] == pytest.approx(0.25 * 0.1)
    first, second = 0.09 / 100 + 0.16 / 100, 2 * 0.16 / 300
    assert b["standard_error"] == pytest.approx(math.sqrt(0.25**2 * first + 0.75**2 * second))


def test_a_part_that_compares_nothing_is_left_out_and_no_part_is_an_error() -> None:
    both = part({"a": (10, 100), "b": (20, 100)})
    found = over_parts([both, part({"a": (1, 1000), "b": (0, 0)}), both.clear()])
    assert row(found, "b") == row(over_parts([both]), "b")
    assert row(found, "a")["parts"] == 2
    none = row(over_parts([part({"a": (1, 1000), "b": (0, 0)})]), "b")
    assert (none["error"], none["absolute"], none["p"], none["parts"]) == ("no_units", None, None, 0)
    assert over_parts([]).is_empty()
    assert over_parts([both.clear()]).is_empty()


def test_its_interval_covers_while_rates_drift_and_shares_follow() -> None:
    made, lift, covered, times = np.random.default_rng(3), 0.02, 0, 600
    for _ in range(times):
        parts: list[pl.DataFrame] = []
        share = 0.5
        for base in (0.30, 0.20, 0.12, 0.08):
            sizes = {"a": round(1000 * (1 - share)), "b": round(1000 * share)}
            good = {name: int(made.binomial(n, base + lift * (name == "b"))) for name, n in sizes.items()}
            parts.append(part({name: (good[name], sizes[name]) for name in sizes}))
            share = 0.8 if good["b"] / sizes["b"] > good["a"] / sizes["a"] else 0.2  # what is seen decides what follows
        b = row(over_parts(parts), "b")
        covered += b["absolute_low"] <= lift <= b["absolute_high"]
    assert 0.93 < covered / times < 0.97
