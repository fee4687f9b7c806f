"""Published experiments: our figures are those of the reference, to nine digits."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from campaign_pipeline.analytics.experiments.external import import_experiment
from campaign_pipeline.analytics.experiments.imported import experiment_results
from campaign_pipeline.analytics.experiments.sample_ratio import sample_ratio
from campaign_pipeline.analytics.experiments.unit_files import parse_metric
from campaign_pipeline.analytics.statistics import Sample, compare_means, compare_proportions
from campaign_pipeline.analytics.summary import summarise

METRICS = ("retention_7", "retention_1:proportion", "sum_gamerounds")


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-9)


@pytest.fixture(scope="session")
def reference(shared_data: Path) -> dict[str, Any]:
    return json.loads((shared_data / "ref" / "reference_ab.json").read_text())


@pytest.fixture
def results(shared_data, engine, lake) -> pl.DataFrame:
    definition = import_experiment(
        engine,
        lake,
        shared_data / "ab" / "cookie_cats.csv",
        name="cookie-cats",
        variant="version",
        control="gate_30",
        unit="userid",
        metrics=[parse_metric(metric) for metric in METRICS],
        at=datetime(2026, 3, 2, tzinfo=UTC),
    )
    assert definition["rows"] == 90189
    return experiment_results(engine, lake, "cookie-cats")


def both(results: pl.DataFrame, metric: str) -> tuple[dict[str, Any], dict[str, Any]]:
    rows = list(results.filter(metric=metric).iter_rows(named=True))
    assert [row["variant"] for row in rows] == ["gate_30", "gate_40"]
    return rows[0], rows[1]


def test_cookie_cats_counts_are_exact(results, reference):
    for metric, key in (("retention_1", "r1"), ("retention_7", "r7")):
        for row in both(results, metric):
            assert row["n"] == row["units"] == reference["cookie_cats"]["n"][row["variant"]]
            assert row["successes"] == reference["cookie_cats"][key][row["variant"]]


@pytest.mark.parametrize(("metric", "key"), [("retention_1", "r1"), ("retention_7", "r7")])
def test_cookie_cats_retention_equals_the_reference(results, reference, metric, key):
    control, treatment = both(results, metric)
    expected = reference["cookie_cats"][f"gate_40 vs gate_30 {key}"]
    assert control["mean"] == close(expected["rate_c"])
    assert treatment["mean"] == close(expected["rate_t"])
    assert treatment["absolute"] == close(expected["abs_lift"])
    assert treatment["relative"] == close(expected["rel_lift"])
    assert treatment["statistic"] == close(expected["z"])
    assert treatment["p"] == close(expected["p"])
    assert [treatment["absolute_low"], treatment["absolute_high"]] == [close(v) for v in expected["wald95"]]
    assert [treatment["score_low"], treatment["score_high"]] == [close(v) for v in expected["newcombe95"]]


def test_cookie_cats_sample_ratio_equals_the_reference(results, reference):
    assert results["srm_p"].unique().to_list() == [close(reference["cookie_cats"]["srm"]["p"])]
    assert results["srm_chi2"].unique().to_list() == [close(reference["cookie_cats"]["srm"]["chi2"])]
    assert round(results["srm_p"][0], 6) == 0.008608


def test_cookie_cats_rounds_equal_the_reference(results, reference):
    control, treatment = both(results, "sum_gamerounds")
    _same_welch(control, treatment, reference["cookie_cats"]["rounds_welch"])


def _same_welch(control: dict[str, Any], treatment: dict[str, Any], expected: dict[str, Any]) -> None:
    assert control["mean"] == close(expected["mean_c"])
    assert treatment["mean"] == close(expected["mean_t"])
    assert treatment["absolute"] == close(expected["diff"])
    assert treatment["statistic"] == close(expected["t"])
    assert treatment["df"] == close(expected["df"])
    assert treatment["p"] == close(expected["p"])
    assert [treatment["absolute_low"], treatment["absolute_high"]] == [close(v) for v in expected["ci95"]]


def test_cookie_cats_rounds_without_the_outlier_equal_the_reference(shared_data, engine, lake, tmp_path, reference):
    outlier = reference["cookie_cats"]["max_rounds"]
    units = pl.read_csv(shared_data / "ab" / "cookie_cats.csv").filter(pl.col("sum_gamerounds") < outlier)
    assert units.height == 90188
    file = tmp_path / "without.csv"
    units.write_csv(file)
    import_experiment(
        engine,
        lake,
        file,
        name="without",
        variant="version",
        control="gate_30",
        metrics=[parse_metric("sum_gamerounds:mean")],
        at=datetime(2026, 3, 2, tzinfo=UTC),
    )
    control, treatment = both(experiment_results(engine, lake, "without"), "sum_gamerounds")
    _same_welch(control, treatment, reference["cookie_cats"]["rounds_welch_no_outlier"])


def test_cookie_cats_in_plain_words(results):
    assert summarise(results) == (
        "gate_40 did worse than gate_30: retention_7 18.20% against 19.02%, "
        "-0.82 points (95% interval -1.33 to -0.31), p = 0.00155."
    )


def test_the_published_counts_of_ab_data_equal_the_reference(reference):
    expected = reference["ab_data_published_counts"]
    control, treatment = Sample.proportion(145274, 17489), Sample.proportion(145310, 17264)
    result = compare_proportions(control, treatment)
    assert (control.mean, treatment.mean) == (close(expected["rate_c"]), close(expected["rate_t"]))
    assert (result.absolute, result.relative) == (close(expected["abs_lift"]), close(expected["rel_lift"]))
    assert (result.statistic, result.p) == (close(expected["z"]), close(expected["p"]))
    assert [result.absolute_low, result.absolute_high] == [close(v) for v in expected["wald95"]]
    assert [result.score_low, result.score_high] == [close(v) for v in expected["newcombe95"]]
    chi2, p = sample_ratio({"control": 145274, "treatment": 145310}, {"control": 1, "treatment": 1}) or (0, 0)
    assert (chi2, p) == (close(expected["srm"]["chi2"]), close(expected["srm"]["p"]))


@pytest.mark.parametrize("stream", ["84f653/1/4", "84f653/1/1"])
def test_asos_examples_from_aggregates_equal_the_reference(reference, stream):
    given = reference["asos"]["example"][stream]
    result = compare_means(Sample(given["nc"], given["mc"], given["vc"]), Sample(given["nt"], given["mt"], given["vt"]))
    assert (result.statistic, result.p) == (close(given["t"]), close(given["p"]))


def test_all_asos_streams_from_aggregates_equal_the_reference(shared_data):
    streams = pl.read_csv(shared_data / "ref" / "asos_final_ref.csv")
    for row in streams.iter_rows(named=True):
        control = Sample(row["count_c"], row["mean_c"], row["variance_c"])
        result = compare_means(control, Sample(row["count_t"], row["mean_t"], row["variance_t"]))
        assert (result.statistic, result.p) == (close(row["t"]), close(row["p"])), row["experiment_id"]
    assert streams.height == 381
