"""An experiment of the open ASOS data, from the file to result rows."""

from datetime import UTC, datetime

import polars as pl
import pytest

from campaign_pipeline.analytics.experiments.external import import_aggregates
from campaign_pipeline.analytics.experiments.imported import every_look, experiment_results
from campaign_pipeline.core.errors import InvalidInput, NotFound

AT = datetime(2026, 3, 2, tzinfo=UTC)


def test_an_experiment_of_many_is_taken_in_and_its_last_look_equals_the_reference(shared_data, engine, lake):
    file = shared_data / "ab" / "asos.csv"
    with pytest.raises(InvalidInput, match="has 78 experiments"):
        import_aggregates(engine, lake, file, name="asos", control="control", at=AT)
    taken = import_aggregates(engine, lake, file, name="asos", control="control", at=AT, experiment="84f653")
    assert (taken["rows"], taken["looks"], taken["variants"]) == (16, 2, {"1": 164860, "control": 166483})
    results = experiment_results(engine, lake, "asos").filter(~pl.col("is_control"))
    reference = pl.read_csv(shared_data / "ref" / "asos_final_ref.csv").filter(experiment_id="84f653").sort("metric_id")
    assert results["metric"].to_list() == ["1", "2", "3", "4"]
    assert results["p"].to_list() == pytest.approx(reference["p"].to_list(), rel=1e-9)
    assert results["statistic"].to_list() == pytest.approx(reference["t"].to_list(), rel=1e-9)
    assert results["look"].unique().to_list() == [2.0]
    assert results["n_star"].unique().to_list() == [164860 + 166483]
    looks = every_look(engine, lake, "asos").filter(pl.col("is_goal") & ~pl.col("is_control"))
    assert looks["look"].to_list() == [1.0, 2.0]
    assert looks["n_star"].unique().to_list() == [164860 + 166483]  # planned: the same at each look
    with pytest.raises(NotFound, match="no look 7"):
        experiment_results(engine, lake, "asos", 7.0)


def test_an_experiment_without_variances_has_errors_and_no_figures(shared_data, engine, lake):
    looks = pl.read_csv(shared_data / "ab" / "asos.csv").filter(pl.col("variance_c").is_null())
    name = looks["experiment_id"][0]
    file = shared_data / "ab" / "asos.csv"
    import_aggregates(engine, lake, file, name="without", control="control", at=AT, experiment=name)
    rows = every_look(engine, lake, "without").filter(pl.col("error") == "no_variance")
    assert rows.height > 0
    assert (
        rows.select("p", "seq_p", "absolute", "prob_best", "expected_loss", "mde_now").null_count().row(0)
        == (rows.height,) * 6
    )
