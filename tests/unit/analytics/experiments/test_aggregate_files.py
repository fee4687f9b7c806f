"""Files of aggregates: both layouts, and how a wrong file is told."""

from datetime import UTC, datetime

import polars as pl
import pytest

from campaign_pipeline.analytics.experiments.external import Options, import_aggregates
from campaign_pipeline.analytics.experiments.imported import every_look, experiment_results
from campaign_pipeline.analytics.experiments.unit_files import parse_metric
from campaign_pipeline.core.errors import InvalidInput

TALL = "variant,metric,n,mean,variance\nA,kept,100,0.2,\nA,spend,100,9.5,16\nB,kept,110,0.3,\nB,spend,110,11,25\n"
PAIRED = (
    "variant_id,look,count_c,count_t,mean_c,mean_t,variance_c,variance_t\n"
    "B,1,50,60,5,6,4,4\nC,1,50,70,5,5.5,4,4\nB,2,100,120,5,6,4,4\nC,2,100,140,5,5.5,4,4\n"
)


@pytest.fixture
def take(engine, lake, tmp_path):
    def take(text: str, metrics=(), suffix="csv", **more):
        file = tmp_path / f"sums.{suffix}"
        file.write_text(text)
        if suffix == "parquet":
            pl.read_csv(text.encode()).write_parquet(file)
        columns = [parse_metric(metric) for metric in metrics]
        options = {"name": "test", "control": "A", "at": datetime(2026, 3, 2, tzinfo=UTC)} | more
        return import_aggregates(engine, lake, file, metrics=columns, **options)

    return take


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_row_an_arm_and_metric(take, engine, lake, suffix):
    taken = take(TALL, ["kept:proportion", "spend"], suffix)
    assert taken["variants"] == {"A": 100, "B": 110}
    results = experiment_results(engine, lake, "test")
    kept, spend = results.filter(variant="B").iter_rows(named=True)
    assert (kept["metric_type"], kept["successes"], kept["test"], kept["is_goal"]) == ("proportion", 33, "z", True)
    assert (spend["metric_type"], spend["absolute"], spend["test"]) == ("mean", 1.5, "welch")
    assert spend["standard_error"] == pytest.approx((16 / 100 + 25 / 110) ** 0.5)


def test_without_a_kind_a_metric_is_a_mean_and_needs_its_variance(take, engine, lake):
    take(TALL)
    kept = experiment_results(engine, lake, "test").filter(variant="B", metric="kept").row(0, named=True)
    assert (kept["error"], kept["p"], kept["mean"]) == ("no_variance", None, 0.3)


def test_treatments_beside_one_control_become_one_experiment_of_several_arms(take, engine, lake):
    taken = take(PAIRED)
    assert (taken["rows"], taken["looks"], taken["variants"]) == (6, 2, {"A": 100, "B": 120, "C": 140})
    looks = every_look(engine, lake, "test")
    assert looks.select("look", "variant", "n").rows() == [
        (1.0, "A", 50),
        (1.0, "B", 60),
        (1.0, "C", 70),
        (2.0, "A", 100),
        (2.0, "B", 120),
        (2.0, "C", 140),
    ]
    b, c = looks.filter(pl.col("look") == 2, ~pl.col("is_control")).iter_rows(named=True)
    assert b["p_adjusted"] == pytest.approx(2 * b["p"])  # Holm: the smaller of two
    assert c["p_adjusted"] == pytest.approx(c["p"])
    assert sum(looks.filter(look=2.0)["prob_best"]) == pytest.approx(1)


def test_planned_units_and_the_sequential_rule_are_kept(take, engine, lake):
    take(PAIRED, options=Options(rules={"planned_units": 3600, "decision": "sequential"}))
    results = experiment_results(engine, lake, "test").filter(~pl.col("is_control"))
    assert results["n_star"].unique().to_list() == [2400]  # two of three arms
    assert results["rule"].unique().to_list() == ["sequential-1"]


@pytest.mark.parametrize(
    ("text", "metrics", "message"),
    [
        ("variant,n,mean\nA,1.5,2\n", [], r"sums.csv:2: n: '1.5' is not a whole number"),
        ("variant,n,mean\nA,-1,2\n", [], r"sums.csv:2: n: '-1' is not a whole number"),
        ("variant,n,mean\nA,10,x\n", [], r"sums.csv:2: mean: 'x' is not a number"),
        ("variant,n,mean\nA,10,\n", [], r"sums.csv:2: mean: is empty"),
        ("variant,n,mean,variance\nA,10,1,-1\n", [], r"sums.csv:2: variance: '-1' is not a number of 0 or more"),
        ("variant,n,mean\n,10,1\n", [], r"sums.csv:2: variant: is empty"),
        ("variant,look,n,mean\nA,1,10,1\nA,first,10,1\n", [], r"sums.csv:3: look: 'first' is not a number"),
        ("variant,n,mean\nA,10,1\nA,10,1\nB,10,1\n", [], r"sums.csv:3: variant 'A' of metric 'metric' is there twice"),
        ("variant,n,mean\nB,10,1\nC,10,1\n", [], r"nothing to compare with 'A'"),
        ("variant,n\nA,10\n", [], r"no column 'mean'"),
        ("arm,n,mean\nA,10,1\n", [], r"no column 'variant'"),
        (TALL, ["bought"], r"no metric 'bought'"),
        (TALL, ["spend:proportion"], r"spend: a mean of 9.5 is not a rate"),
        (TALL, ["kept/spend:ratio"], r"linearised"),
        (PAIRED.replace("C,2,100", "C,2,101"), [], r"the control of metric 'metric' is not the same"),
        (PAIRED.replace("B,1", "A,1"), [], r"a treatment is called 'A', as the control"),
    ],
)
def test_a_wrong_file_is_told_with_column_value_and_line(take, text, metrics, message):
    with pytest.raises(InvalidInput, match=message):
        take(text, metrics)
