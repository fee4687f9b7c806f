"""From units to figures: ratios, revenue with a cap, CUPED, and the same bytes every time."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from campaign_pipeline.analytics.experiments.design import Experiment, Metric, MetricKind
from campaign_pipeline.analytics.experiments.external import Options, import_experiment
from campaign_pipeline.analytics.experiments.imported import experiment_results
from campaign_pipeline.analytics.experiments.results import analyse
from campaign_pipeline.analytics.experiments.unit_files import parse_metric
from campaign_pipeline.campaigns.assignment import bucket_ranges, choose_variants
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.hashing import buckets


def units(n: int = 4000, seed: int = 1) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    treated = random.random(n) < 0.5
    before = random.exponential(20, n)
    visits = random.poisson(4, n) + 1
    return pl.DataFrame(
        {
            "variant": np.where(treated, "b", "a"),
            "before": before,
            "visits": visits,
            "clicks": random.binomial(visits, np.where(treated, 0.3, 0.25)),
            "spend": before * 0.8 + random.exponential(np.where(treated, 6, 5)),
        }
    )


def experiment(*metrics: Metric) -> Experiment:
    return Experiment("x", metrics, goal=metrics[0].name, control="a")


def b_row(results: pl.DataFrame) -> dict:
    return results.row(by_predicate=pl.col("variant") == "b", named=True)


def test_a_ratio_is_compared_by_the_delta_method():
    frame = units()
    row = b_row(analyse(experiment(Metric("ctr", MetricKind.RATIO, column="clicks", denominator="visits")), frame))
    means, errors = {}, {}
    for arm in "ab":
        y, x = frame.filter(variant=arm)["clicks"].to_numpy(), frame.filter(variant=arm)["visits"].to_numpy()
        means[arm] = y.sum() / x.sum()
        errors[arm] = (y - means[arm] * x).var(ddof=1) / x.mean() ** 2 / len(y)  # of the linearised ratio
    assert (row["metric_type"], row["mean"]) == ("ratio", pytest.approx(means["b"], rel=1e-12))
    assert row["absolute"] == pytest.approx(means["b"] - means["a"], rel=1e-9)
    assert row["standard_error"] == pytest.approx(sum(errors.values()) ** 0.5, rel=1e-9)
    assert row["test"] == "welch"
    assert row["denominator_mean"] == pytest.approx(frame.filter(variant="b")["visits"].mean())


def test_revenue_above_the_cap_counts_as_the_cap():
    frame = units().with_columns(spend=pl.when(pl.int_range(pl.len()) == 0).then(1e6).otherwise("spend"))
    row = b_row(analyse(experiment(Metric("spend", MetricKind.REVENUE, cap=100.0)), frame))
    capped = frame.filter(variant="b")["spend"].clip(upper_bound=100)
    assert (row["metric_type"], row["mean"]) == ("revenue", pytest.approx(capped.mean(), rel=1e-12))
    assert row["variance"] == pytest.approx(capped.var(), rel=1e-9)


def test_a_covariate_narrows_the_interval_and_leaves_mean_and_variance_as_they_are():
    frame = units()
    plain = b_row(analyse(experiment(Metric("spend", MetricKind.REVENUE)), frame))
    cuped = b_row(analyse(experiment(Metric("spend", MetricKind.REVENUE, covariate="before")), frame))
    assert (plain["cuped_used"], cuped["cuped_used"]) == (None, True)
    assert cuped["theta"] == pytest.approx(0.8, abs=0.02)
    assert cuped["standard_error"] == pytest.approx(
        plain["standard_error"] * (1 - cuped["variance_reduction"]) ** 0.5, rel=1e-9
    )
    assert cuped["variance_reduction"] > 0.8
    assert (cuped["mean"], cuped["variance"]) == (plain["mean"], plain["variance"])
    assert cuped["seq_high"] - cuped["seq_low"] < (plain["seq_high"] - plain["seq_low"]) / 2
    assert cuped["mde_now"] < plain["mde_now"] / 2


def test_a_covariate_that_is_noise_to_all_arms_is_said_not_to_be_used():
    frame = units().with_columns(before=pl.lit(1.0))
    cuped = b_row(analyse(experiment(Metric("spend", MetricKind.REVENUE, covariate="before")), frame))
    assert (cuped["cuped_used"], cuped["theta"], cuped["variance_reduction"]) == (False, None, None)


def test_the_same_units_give_the_same_bytes(tmp_path):
    metrics = (Metric("spend", MetricKind.REVENUE, covariate="before"), Metric("clicks", MetricKind.MEAN))
    files = []
    for attempt in range(3):
        files.append(tmp_path / f"{attempt}.parquet")
        analyse(experiment(*metrics), units(50_000)).write_parquet(files[-1])
    assert len({file.read_bytes() for file in files}) == 1


def test_a_metric_whose_column_is_not_there_has_an_error():
    row = b_row(analyse(experiment(Metric("revenue", MetricKind.REVENUE)), units()))
    assert (row["error"], row["n"], row["mean"], row["p"], row["seq_p"]) == ("no_source", 0, None, None, None)
    assert row["decision_reason"] == "no figure: no_source"


def test_an_a_a_test_from_assignment_to_result_keeps_its_false_positive_rate():
    """150 campaigns without a difference: contacts are assigned by their hash, and what they do is decided before."""
    random = np.random.default_rng(42)
    ids = [f"contact-{number}" for number in range(1500)]
    rules = Experiment("x", [Metric("clicked", MetricKind.PROPORTION)], goal="clicked", control="a")
    found = []
    for campaign in range(150):
        places = buckets(f"campaign-{campaign}", ids)
        chosen = choose_variants(places, bucket_ranges([0.5, 0.5]))
        frame = pl.DataFrame({"variant": np.where(chosen == 0, "a", "b"), "clicked": random.random(len(ids)) < 0.1})
        row = b_row(analyse(rules, frame))
        found.append((row["p"] < 0.05, row["seq_p"] < 0.05, row["srm_p"] < 0.05, row["decision"]))
    wrong, sequential, ratio, decisions = zip(*found, strict=True)
    assert 2 <= sum(wrong) <= 14  # 7.5 are expected; beyond each end lies a probability of 1 % at most
    assert sum(sequential) <= 2
    assert 2 <= sum(ratio) <= 14
    assert decisions.count("inconclusive") == 150 - sum(wrong)


GOOD = "arm,clicks,visits,spend,before,before_spend\nA,1,4,10,1,3\nA,2,5,900,2,4\nB,2,4,12,2,5\nB,3,3,7,1,6\n"


@pytest.fixture
def take(engine, lake, tmp_path):
    def take(text: str, *metrics: str, **more):
        file = tmp_path / "units.csv"
        file.write_text(text)
        options = {"name": "t", "variant": "arm", "control": "A", "at": datetime(2026, 3, 2, tzinfo=UTC)}
        parsed = [parse_metric(metric) for metric in metrics]
        return import_experiment(engine, lake, file, metrics=parsed, options=Options(**more), **options)

    return take


def test_ratios_covariates_and_caps_come_from_files_too(take, engine, lake):
    beside = {"caps": {"spend": 100.0}, "covariates": {"spend": "before_spend"}}
    taken = take(GOOD, "clicks/visits:ratio", "spend:revenue", **beside)
    assert taken["metrics"] == [
        {"name": "clicks/visits", "kind": "ratio", "column": "clicks", "denominator": "visits"},
        {"name": "spend", "kind": "revenue", "covariate": "before_spend", "cap": 100.0},
    ]
    rows = experiment_results(engine, lake, "t").filter(variant="A")
    assert rows["mean"].to_list() == [3 / 9, 55.0]
    assert rows["metric_type"].to_list() == ["ratio", "revenue"]


def test_parquet_files_are_read(take, engine, lake, tmp_path):
    file = tmp_path / "units.parquet"
    pl.DataFrame({"arm": ["A", "A", "B", "B"], "kept": [True, False, True, None]}).write_parquet(file)
    at = datetime(2026, 3, 2, tzinfo=UTC)
    metrics = [parse_metric("kept")]
    taken = import_experiment(engine, lake, file, name="p", variant="arm", control="A", metrics=metrics, at=at)
    assert (taken["metrics"], taken["missing"]) == ([{"name": "kept", "kind": "proportion"}], {"kept": 1})
    (tmp_path / "bad.parquet").write_text("no parquet")
    with pytest.raises(InvalidInput, match="not a Parquet file"):
        import_experiment(
            engine, lake, tmp_path / "bad.parquet", name="q", variant="arm", control="A", metrics=metrics, at=at
        )


@pytest.mark.parametrize(
    ("metrics", "more", "message"),
    [
        (["clicks/visits"], {}, r"no column 'clicks/visits'"),
        (["clicks:ratio"], {}, r"does not name two columns"),
        (["spend"], {"caps": {"revenue": 1.0}}, r"--cap names 'revenue', which is no metric"),
        (["spend"], {"covariates": {"spend": "nope"}}, r"no column 'nope'"),
        (["clicks", "clicks/visits:ratio"], {}, r"'clicks' is that of more than one metric"),
    ],
)
def test_options_that_do_not_fit_are_told(take, metrics, more, message):
    with pytest.raises(InvalidInput, match=message):
        take(GOOD, *metrics, **more)


def test_a_covariate_must_be_known_of_everyone(take):
    with pytest.raises(InvalidInput, match=r"units.csv:3: before is empty"):
        take(GOOD.replace("A,2,5,900,2,", "A,2,5,900,,"), "spend", covariates={"spend": "before"})
