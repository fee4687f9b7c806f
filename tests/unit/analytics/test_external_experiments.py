"""Experiments from files: what is taken, what is kept, and how a wrong file is told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from campaign_pipeline.analytics.experiments.design import MetricKind
from campaign_pipeline.analytics.experiments.external import Options, import_experiment
from campaign_pipeline.analytics.experiments.imported import experiment_results
from campaign_pipeline.analytics.experiments.unit_files import MetricColumn, parse_metric
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import InvalidInput, NotFound, Refused
from campaign_pipeline.core.tables import experiments

AT = datetime(2026, 3, 2, tzinfo=UTC)
GOOD = "user,arm,kept,spend\nann@example.com,A,TRUE,1.5\nbob@example.com,B,0,\ncat@example.com,B,1,-2\n"


@pytest.fixture
def take(engine, lake, tmp_path):
    def take(text: str | bytes, metrics=("kept", "spend"), **more):
        file = tmp_path / "units.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        columns = [parse_metric(metric) for metric in metrics]
        options = {"name": "test", "variant": "arm", "control": "A", "unit": "user", "at": AT} | more
        return import_experiment(engine, lake, file, metrics=columns, **options)

    return take


def test_only_variant_and_metrics_are_kept(take, lake):
    definition = take(GOOD)
    assert definition["metrics"] == [{"name": "kept", "kind": "proportion"}, {"name": "spend", "kind": "mean"}]
    assert (definition["rows"], definition["variants"], definition["missing"]) == (
        3,
        {"A": 1, "B": 2},
        {"kept": 0, "spend": 1},
    )
    assert lake.read("experiments", "test").to_dict(as_series=False) == {
        "variant": ["A", "B", "B"],
        "kept": [True, False, True],
        "spend": [1.5, None, -2.0],
    }


def test_a_unit_without_a_value_is_left_out_of_that_metric_alone(take, engine, lake):
    take(GOOD)
    results = experiment_results(engine, lake, "test")
    b = [(row["metric"], row["units"], row["n"]) for row in results.iter_rows(named=True) if row["variant"] == "B"]
    assert b == [("kept", 2, 2), ("spend", 2, 1)]
    assert results.filter(metric="spend", variant="B")["error"].to_list() == ["one_unit"]
    assert results["run_id"].null_count() == results.height


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_and_a_byte_order_mark_are_understood(take, delimiter):
    assert take("\ufeff" + GOOD.replace(",", delimiter))["rows"] == 3


def test_a_line_that_starts_with_a_hash_and_one_with_a_line_break_in_quotes_are_rows(take):
    assert take('user,arm,kept\n#1,A,1\n"2\n3",B,0\n', ["kept"])["variants"] == {"A": 1, "B": 1}


def test_a_kind_that_is_given_is_used(take, lake):
    assert take(GOOD, ["kept:mean"])["metrics"] == [{"name": "kept", "kind": "mean"}]
    assert lake.read("experiments", "test")["kept"].to_list() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("text", "metrics", "message"),
    [
        ("user,arm,kept\n1,A,TRUE\n2,B,maybe\n", ["kept:proportion"], r"units.csv:3: kept: 'maybe' is not true"),
        ("user,arm,kept\n1,A,1\n2,B,2,5\n", ["kept"], r"units.csv:3 is not a row of 3 fields"),
        ("user,arm,kept\n1,A,1\n2,B\n", ["kept"], r"units.csv:3 is not a row of 3 fields"),
        ("user,arm,spend\n1,A,1\n2,B,1e400\n", ["spend:mean"], r"units.csv:3: spend: '1e400' is not a number"),
        ("user,arm,spend\n1,A,nan\n2,B,1\n", ["spend"], r"units.csv:2: spend: 'nan' is not a number"),
        ("user,arm,kept\n1,A,1\n2,,1\n", ["kept"], r"units.csv:3: arm is empty \(1 such rows\)"),
        ("user,arm,kept\n1,A,1\n2,B,1\n1,B,0\n", ["kept"], r"user is empty or not unique in 2 rows \(lines 2, 4"),
        ("user,arm,kept\n1,B,1\n", ["kept"], r"arm is never 'A'"),
        ("user,arm,kept\n1,A,1\n", ["kept"], r"nothing to compare"),
        ("user,arm\n1,A\n", ["kept"], r"has no column 'kept'"),
        ("user,arm,kept,kept\n1,A,1,1\n", ["kept"], r"more than one column 'kept'"),
        ("", ["kept"], r"is empty"),
        (GOOD, ["arm"], r"cannot be a metric and the variant"),
        (GOOD, [], r"no metric is given"),
        (GOOD, ["kept", "kept:mean"], r"'kept' is given twice"),
        (b"user,arm,kept\n1,A,1\nJos\xe9,B,1\n", ["kept"], r"units.csv:3 is not a row of 3 fields in UTF-8"),
    ],
)
def test_a_wrong_file_is_told_with_column_value_and_line(take, engine, text, metrics, message):
    with pytest.raises(InvalidInput, match=message):
        take(text, metrics)
    with reading(engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(experiments)).scalar_one() == 0


def test_messages_about_units_do_not_name_them(take):
    with pytest.raises(InvalidInput) as caught:
        take("user,arm,kept\nann@example.com,A,1\nann@example.com,B,1\n", ["kept"])
    assert "ann@" not in str(caught.value)
    with pytest.raises(InvalidInput) as caught:
        take("user,arm,kept\nann@example.com,A,1,surplus\n", ["kept"])
    assert "ann@" not in str(caught.value)


def test_the_same_import_again_changes_nothing_and_another_one_is_refused(take, engine, lake):
    first = take(GOOD)
    assert take(GOOD, at=datetime(2027, 1, 1, tzinfo=UTC)) == first
    with reading(engine) as connection:
        assert connection.execute(sa.select(experiments.c.imported_at)).scalar_one() == AT
    with pytest.raises(Refused, match="another import"):
        take(GOOD, ["kept"])
    take(GOOD, ["kept"], options=Options(replace=True))
    assert lake.read("experiments", "test").columns == ["variant", "kept"]


def test_weights_must_name_the_variants_of_the_file(take, engine, lake):
    with pytest.raises(InvalidInput, match="weights"):
        take(GOOD, options=Options(weights={"A": 1, "C": 1}))
    take(GOOD, options=Options(weights={"A": 1, "B": 2}))
    assert experiment_results(engine, lake, "test")["srm_p"][0] == 1.0


def test_an_unknown_experiment_or_file_is_named(engine, lake):
    with pytest.raises(NotFound, match="experiment 'nope'"):
        experiment_results(engine, lake, "nope")
    metrics = [MetricColumn("x")]
    with pytest.raises(InvalidInput, match="does not exist"):
        import_experiment(
            engine, lake, Path("/nope.csv"), name="test", variant="v", control="a", metrics=metrics, at=AT
        )


def test_metric_options_are_read():
    assert parse_metric("kept") == MetricColumn("kept", None)
    assert parse_metric("a:b:mean") == MetricColumn("a:b", MetricKind.MEAN)
    with pytest.raises(InvalidInput, match="median"):
        parse_metric("spend:median")
