"""Result rows and decisions of campaign runs, by assignment."""

from datetime import date

import polars as pl
import pytest

from campaign_pipeline.analytics.experiments.design import Experiment, Metric, MetricKind
from campaign_pipeline.analytics.experiments.results import rows_of
from campaign_pipeline.analytics.experiments.runs import ab_results
from campaign_pipeline.analytics.experiments.samples import Arms, Moments
from campaign_pipeline.analytics.schemas import AB_RESULTS
from campaign_pipeline.analytics.summary import summarise
from campaign_pipeline.core.errors import InvalidInput


def row(results: pl.DataFrame, metric: str, variant: str) -> dict:
    return results.row(by_predicate=(pl.col("metric") == metric) & (pl.col("variant") == variant), named=True)


def test_there_is_one_row_for_each_metric_and_variant_with_the_control_first(tested_run):
    results = ab_results(tested_run({"plain": (50, 5), "emoji": (50, 20)}), goal="clicked", control="plain")
    assert dict(results.schema) == AB_RESULTS
    assert results.select("metric", "variant").head(4).rows() == [
        ("clicked", "plain"),
        ("clicked", "emoji"),
        ("replied", "plain"),
        ("replied", "emoji"),
    ]
    control = row(results, "clicked", "plain")
    assert (control["is_control"], control["mean"], control["absolute"], control["p"]) == (True, 0.1, None, None)
    emoji = row(results, "clicked", "emoji")
    assert (emoji["n"], emoji["successes"], emoji["mean"], emoji["control"]) == (50, 20, 0.4, "plain")
    assert emoji["absolute"] == pytest.approx(0.3, rel=1e-12)
    assert (emoji["run_id"], emoji["experiment"], emoji["day"]) == ("spring--20260302t090000z", "spring", None)
    assert emoji["engine"].startswith("tea-tasting 1.14")


def test_a_better_variant_is_shipped_and_a_worse_one_rolled_back(tested_run):
    facts = tested_run({"plain": (200, 30), "emoji": (200, 70)})
    shipped = ab_results(facts, goal="clicked", control="plain")
    assert row(shipped, "clicked", "emoji")["decision"] == "ship"
    assert summarise(shipped).startswith("emoji beat plain: clicked 35.00% against 15.00%, +20.00 points (95% interval")
    back = ab_results(facts, goal="clicked", control="emoji")
    assert row(back, "clicked", "plain")["decision"] == "rollback"
    assert summarise(back).startswith("plain did worse than emoji: ")
    assert shipped.filter(pl.col("decision").is_not_null()).height == 1


def test_without_a_difference_nothing_is_claimed(tested_run):
    results = ab_results(tested_run({"plain": (200, 30), "emoji": (200, 33)}), goal="clicked", control="plain")
    assert row(results, "clicked", "emoji")["decision"] == "inconclusive"
    assert summarise(results).startswith("No difference shown between emoji and plain: ")


def test_a_sample_ratio_that_is_off_blocks_every_decision(tested_run):
    results = ab_results(tested_run({"plain": (300, 30), "emoji": (150, 60)}), goal="clicked", control="plain")
    emoji = row(results, "clicked", "emoji")
    assert emoji["srm_p"] == pytest.approx(1.5374597944280e-12, rel=1e-6)
    assert emoji["decision"] == "blocked_srm"
    assert summarise(results).startswith("Do not trust these figures")


def test_weights_of_the_campaign_are_what_the_sample_ratio_expects(tested_run):
    facts = tested_run({"plain": (300, 30), "emoji": (150, 60)})
    results = ab_results(facts, goal="clicked", control="plain", weights={"plain": 2, "emoji": 1})
    emoji = row(results, "clicked", "emoji")
    assert (emoji["srm_p"], emoji["expected_weight"], emoji["decision"]) == (1.0, pytest.approx(1 / 3), "ship")


def test_opens_are_reported_and_never_decide(run, new_event):
    run.freeze([("planned", "", "a")] * 50 + [("planned", "", "b")] * 50)
    run.ledger(["accepted"] * 100)
    run.events([new_event(f"m{index}", "opened", 1) for index in [*range(10), *range(50, 90)]])
    results = ab_results(run.facts(), goal="opened", control="a")
    b = row(results, "opened", "b")
    assert b["p"] < 1e-8
    assert (b["decision"], b["decision_reason"]) == ("inconclusive", "opens are reported and never decide")


def test_a_bounce_is_worse_the_more_there_are(run, new_event):
    run.freeze([("planned", "", "a")] * 50 + [("planned", "", "b")] * 50)
    run.ledger(["accepted"] * 100)
    run.events([new_event(f"m{index}", "unsubscribed", 1) for index in [*range(10), *range(50, 90)]])
    assert row(ab_results(run.facts(), goal="unsubscribed", control="a"), "unsubscribed", "b")["decision"] == "rollback"


def test_a_test_of_fixed_length_does_not_decide_before_its_end(tested_run):
    facts = tested_run({"plain": (200, 30), "emoji": (200, 70)})
    arguments = {"goal": "clicked", "control": "plain", "decide_from": date(2026, 3, 5)}
    running = ab_results(facts, as_of_day=date(2026, 3, 4), **arguments)
    assert row(running, "clicked", "emoji")["decision"] == "running"
    assert "still running (decides from 2026-03-05)" in summarise(running)
    ended = ab_results(facts, as_of_day=date(2026, 3, 5), **arguments)
    assert row(ended, "clicked", "emoji")["decision"] == "ship"


def test_a_day_counts_only_what_had_happened_by_its_end(run, new_event):
    run.freeze([("planned", "", "a")] * 20 + [("planned", "", "b")] * 20)
    run.ledger(["accepted"] * 40)
    run.events([new_event("m0", "delivered", 0), new_event("m0", "clicked", 60)])
    run.events([new_event("m0", "undelivered", 60 * 24), new_event("m1", "clicked", 60 * 24)], "2026-03-03")
    first = ab_results(run.facts(), goal="clicked", control="a", as_of_day=date(2026, 3, 2))
    second = ab_results(run.facts(), goal="clicked", control="a", as_of_day=date(2026, 3, 3))
    before = ab_results(run.facts(), goal="clicked", control="a", as_of_day=date(2026, 3, 1))
    assert [row(r, "clicked", "a")["successes"] for r in (before, first, second)] == [0, 1, 2]
    assert [row(r, "delivered", "a")["successes"] for r in (before, first, second)] == [0, 1, 0]


def test_analysis_is_by_assignment_whether_or_not_a_message_left(run, new_event):
    held_out = [("held_out", "", "b"), ("held_out", "", None)]
    run.freeze([("planned", "", "a")] * 10 + [("planned", "", "b")] * 10 + held_out)
    run.ledger(["rejected"] * 10 + ["accepted"] * 10)
    results = ab_results(run.facts(), goal="clicked", control="a")
    assert results["units"].unique().to_list() == [10]
    assert row(results, "clicked", "b")["error"] == "zero_variance"
    assert row(results, "clicked", "b")["p"] is None
    assert summarise(results) == "Nothing can be said about b against a: all units of each variant are alike."


def test_a_planned_variant_that_nobody_was_assigned_to_has_an_error_and_no_figures(tested_run):
    facts = tested_run({"a": (20, 5), "b": (20, 6)})
    results = ab_results(facts, goal="clicked", control="a", weights={"a": 1, "b": 1, "c": 1})
    c = row(results, "clicked", "c")
    assert (c["units"], c["n"], c["mean"], c["p"], c["error"]) == (0, 0, None, None, "no_units")
    assert c["srm_p"] == pytest.approx(4.539992976248485e-05)


def test_few_units_say_so_and_do_not_decide(tested_run):
    results = ab_results(tested_run({"a": (10, 0), "b": (10, 6)}), goal="clicked", control="a")
    b = row(results, "clicked", "b")
    assert b["p"] < 0.05
    assert (b["small_sample"], b["decision"]) == (True, "inconclusive")
    assert summarise(results) == "Too few yet to compare b with a: clicked 60.00% against 0.00%."


def test_unknown_goals_controls_and_variants_are_named(tested_run):
    facts = tested_run({"a": (5, 1), "b": (5, 1)})
    with pytest.raises(InvalidInput, match="goal 'bought'"):
        ab_results(facts, goal="bought", control="a")
    with pytest.raises(InvalidInput, match="control 'x'"):
        ab_results(facts, goal="clicked", control="x")
    with pytest.raises(InvalidInput, match="units are in"):
        ab_results(facts, goal="clicked", control="a", weights={"a": 1})


def test_a_run_without_planned_contacts_has_no_results(run):
    run.freeze([("no_consent", "", None)])
    results = ab_results(run.facts(), goal="clicked", control="a")
    assert (results.height, dict(results.schema)) == (0, AB_RESULTS)
    assert summarise(results) == ""


def test_aggregates_alone_are_enough():
    experiment = Experiment("x", [Metric("spend", MetricKind.MEAN)], goal="spend", control="a")
    spend = {("spend", "a"): Moments(100, 10.0, 4.0), ("spend", "b"): Moments(100, 11.0, 4.0)}
    arms = Arms({"a": 100, "b": 100}, spend)
    b = row(rows_of(experiment, arms), "spend", "b")
    assert (b["statistic"], b["df"]) == (pytest.approx(1 / 0.08**0.5), pytest.approx(198.0))
    assert (b["successes"], b["score_low"], b["decision"]) == (None, None, "ship")
