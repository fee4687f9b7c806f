"""Whatever the arms are, a row has figures that make sense or an error, and never a failure as a figure."""

import math

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign_pipeline.analytics.experiments.design import DecisionMode, Experiment, Metric, MetricKind, Rules
from campaign_pipeline.analytics.experiments.results import rows_of
from campaign_pipeline.analytics.experiments.samples import Arms, Moments

METRICS = (
    Metric("share", MetricKind.PROPORTION),
    Metric("left", MetricKind.PROPORTION, lower_is_better=True, covariate="before"),
    Metric("spend", MetricKind.REVENUE, covariate="before"),
    Metric("ratio", MetricKind.RATIO, column="y", denominator="x"),
)
FIGURES = ("absolute", "standard_error", "p", "p_adjusted", "seq_low", "seq_high", "seq_p", "prob_beat_control")

PROBABILITIES = ("p", "p_adjusted", "seq_p", "prob_best", "prob_beat_control", "srm_p", "srm_seq_p", "power_at_target")


@st.composite
def arm(draw: st.DrawFn) -> dict[str, Moments]:
    n = draw(st.one_of(st.integers(0, 3), st.integers(4, 100_000)))
    if n == 0:
        return {}
    rates = [draw(st.integers(0, n)) / n for _ in range(2)]
    spread = st.one_of(st.just(0.0), st.floats(1e-3, 1e6))
    value = st.one_of(st.just(0.0), st.floats(1e-9, 1e4), st.floats(-1e4, -1e-9))
    known = n > 1

    def more(prefix: str, variance: float, positive: bool = False) -> dict[str, float | None]:
        own = draw(spread)
        mean = draw(st.floats(0.1, 1e4)) if positive else draw(value)
        both = draw(st.floats(-1, 1)) * math.sqrt(own * variance)
        return {
            f"{prefix}_mean": mean,
            f"{prefix}_variance": own if known else None,
            f"{prefix}_covariance": both if known else None,
        }

    shares = [rate * (1 - rate) * n / (n - 1) if known else None for rate in rates]
    variance = draw(spread)
    return {
        "share": Moments(n, rates[0], shares[0]),
        "left": Moments(n, rates[1], shares[1], **more("covariate", shares[1] or 0.0)),
        "spend": Moments(n, draw(value), variance if known else None, **more("covariate", variance)),
        "ratio": Moments(n, draw(value), variance if known else None, **more("denominator", variance, positive=True)),
    }


@settings(max_examples=150)
@given(
    st.lists(arm(), min_size=2, max_size=4), st.sampled_from(DecisionMode), st.sampled_from([m.name for m in METRICS])
)
def test_a_row_has_figures_or_an_error(arms, mode, goal):
    names = "abcd"[: len(arms)]
    units = {name: known["share"].n if known else 0 for name, known in zip(names, arms, strict=True)}
    moments = {(metric, name): m for name, known in zip(names, arms, strict=True) for metric, m in known.items()}
    rules = Rules(decision=mode, guardrails={"left": 0.01})
    results = rows_of(Experiment("x", METRICS, goal=goal, control="a", rules=rules), Arms(units, moments))
    assert results.height == len(METRICS) * len(arms)
    for row in results.iter_rows(named=True):
        odd = {key: value for key, value in row.items() if isinstance(value, float) and not math.isfinite(value)}
        assert not odd, {**odd, "mean": row["mean"], "variance": row["variance"], "metric": row["metric"]}
        for name in (
            "p",
            "p_adjusted",
            "seq_p",
            "prob_best",
            "prob_beat_control",
            "srm_p",
            "srm_seq_p",
            "power_at_target",
        ):
            assert row[name] is None or 0 <= row[name] <= 1 + 1e-12
        missing = [row[name] is None for name in FIGURES]
        if row["is_control"] or row["error"]:
            assert all(missing)
        else:
            assert not any(missing)
            assert row["absolute_low"] <= row["absolute"] <= row["absolute_high"]
            if not row["small_sample"]:  # of few units Welch's t reaches further than any normal distribution
                assert row["seq_low"] <= row["absolute_low"] <= row["absolute_high"] <= row["seq_high"]
        if row["expected_loss"] is not None:
            assert row["expected_loss"] >= 0
        decides = row["is_goal"] and not row["is_control"]
        assert (row["decision"] is not None) == decides
        if row["decision"] in ("ship", "rollback"):
            assert (row["error"], row["small_sample"], row["srm_seq_p"] >= 0.001) == ("", False, True)
    for metric in METRICS:
        chances = results.filter(pl.col("metric") == metric.name)["prob_best"].drop_nulls()
        assert chances.is_empty() or abs(sum(chances) - 1) < 1e-9
