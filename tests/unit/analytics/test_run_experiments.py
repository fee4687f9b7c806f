"""Experiments of campaign runs: conversions with CUPED, guardrails, both rules side by side, several arms."""

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl
import pytest

from campaign_pipeline.analytics.experiments.design import DecisionMode, Rules
from campaign_pipeline.analytics.experiments.runs import CONVERSION_METRICS, ab_results, rules_of
from campaign_pipeline.analytics.summary import summarise
from campaign_pipeline.analytics.table_schemas import CONVERSIONS, PRE_PERIOD
from campaign_pipeline.campaigns.analysis import DEFAULTS, Analysis
from tests.unit.analytics.conftest import START


def row(results: pl.DataFrame, metric: str, variant: str) -> dict:
    return results.row(by_predicate=(pl.col("metric") == metric) & (pl.col("variant") == variant), named=True)


@pytest.fixture
def facts(run):
    """100 contacts c0 ... c99: even ones got a, odd ones b; and 10 held out."""
    run.freeze([("planned", "", "ab"[index % 2]) for index in range(100)] + [("held_out", "", None)] * 10)
    run.ledger(["accepted"] * 100)
    run.events([])
    return run.facts()


def conversions(rows: list[tuple[int, float | None, float]]) -> pl.DataFrame:
    """(contact, value, hours after the start)"""
    made = [
        (f"c{contact}", f"e{index}", START + timedelta(hours=hours), value)
        for index, (contact, value, hours) in enumerate(rows)
    ]
    read = ("contact_id", "event_id", "converted_at", "value")
    return pl.DataFrame(made, schema={name: CONVERSIONS[name] for name in read}, orient="row")


def test_conversions_are_a_share_a_mean_and_revenue_with_zeros(facts):
    bought = conversions([(1, 10.0, 1), (1, 30.0, 2), (3, None, 3), (0, 5.0, 4), (105, 99.0, 1), (5, 7.0, 48)])
    results = ab_results(facts, goal="revenue", control="a", conversions=bought, as_of_day=date(2026, 3, 2))
    assert [row(results, metric, "b")["mean"] for metric in ("converted", "revenue", "conversions")] == [
        2 / 50,  # c1 and c3; c5 came later, c105 is held out
        40 / 50,
        3 / 50,
    ]
    assert row(results, "revenue", "a")["mean"] == 5 / 50
    assert (row(results, "revenue", "b")["is_goal"], row(results, "revenue", "b")["cuped_used"]) == (True, None)
    later = ab_results(facts, goal="revenue", control="a", conversions=bought, as_of_day=date(2026, 3, 4))
    assert row(later, "revenue", "b")["mean"] == 47 / 50


def test_what_contacts_did_before_takes_noise_out(facts):
    bought = conversions([(contact, float(contact % 10) * 4 + (contact % 2), 1) for contact in range(100)])
    before = pl.DataFrame(
        [("r", f"c{contact}", 1, float(contact % 10)) for contact in range(100)], schema=PRE_PERIOD, orient="row"
    )
    results = ab_results(facts, goal="revenue", control="a", conversions=bought, pre_period=before)
    b = row(results, "revenue", "b")
    assert (b["cuped_used"], b["metric_type"], b["test"]) == (True, "revenue", "welch")
    assert b["variance_reduction"] > 0.95
    assert row(results, "converted", "b")["cuped_used"] is False  # all converted, before too: nothing to take out
    assert row(results, "clicked", "b")["cuped_used"] is None


def test_revenue_is_capped_as_the_campaign_says(facts):
    bought = conversions([(1, 1000.0, 1), (3, 20.0, 1)])
    results = ab_results(facts, goal="revenue", control="a", conversions=bought, revenue_cap=100.0)
    assert row(results, "revenue", "b")["mean"] == 120 / 50


def test_without_conversions_there_are_no_metrics_of_them_and_a_goal_of_theirs_says_so(facts):
    assert not set(ab_results(facts, goal="clicked", control="a")["metric"]) & {m.name for m in CONVERSION_METRICS}
    results = ab_results(facts, goal="converted", control="a")
    b = row(results, "converted", "b")
    assert (b["error"], b["n"], b["mean"], b["p"], b["decision"]) == ("no_source", 0, None, None, "inconclusive")
    assert summarise(results) == "Nothing can be said about b against a: there are no data of it."


def test_the_order_of_conversions_makes_no_difference(facts, tmp_path):
    bought = conversions([(contact % 100, 0.1 * contact, contact % 7) for contact in range(500)])
    files = []
    for attempt, rows in enumerate((bought, bought.reverse(), bought.sample(fraction=1, shuffle=True, seed=1))):
        files.append(tmp_path / f"{attempt}.parquet")
        ab_results(facts, goal="revenue", control="a", conversions=rows).write_parquet(files[-1])
    assert len({file.read_bytes() for file in files}) == 1


@pytest.fixture
def clicks_and_leavers(run, new_event):
    """600 contacts an arm of {variant: (clicks, unsubscriptions)}."""

    def make(arms: Mapping[str, tuple[int, int]]) -> pl.DataFrame:
        run.freeze([("planned", "", variant) for variant in arms for _ in range(600)])
        run.ledger(["accepted"] * 600 * len(arms))
        events = []
        for index, (clicks, leavers) in enumerate(arms.values()):
            events += [new_event(f"m{600 * index + contact}", "clicked", 5) for contact in range(clicks)]
            events += [new_event(f"m{600 * index + contact}", "unsubscribed", 9) for contact in range(leavers)]
        run.events(events)
        return run.facts()

    return make


def test_a_guardrail_that_is_harmed_keeps_a_better_variant_from_being_shipped(clicks_and_leavers):
    results = ab_results(clicks_and_leavers({"a": (60, 2), "b": (120, 20)}), goal="clicked", control="a", rules=RULES)
    clicked, left = row(results, "clicked", "b"), row(results, "unsubscribed", "b")
    assert (left["guardrail"], left["guardrail_margin"]) == ("harmed", 0.002)
    assert clicked["decision"] == "inconclusive"
    assert clicked["decision_reason"].endswith("is below 0.05, but guardrail unsubscribed is harmed")
    assert summarise(results).startswith("b is not to be shipped, although clicked is better: ")
    assert row(results, "clicked", "a")["guardrail"] is None
    unharmed = ab_results(clicks_and_leavers({"a": (60, 2), "b": (120, 3)}), goal="clicked", control="a", rules=RULES)
    assert row(unharmed, "unsubscribed", "b")["guardrail"] == "unclear"
    assert row(unharmed, "clicked", "b")["decision"] == "ship"


RULES = rules_of(DEFAULTS)


def test_a_campaign_s_settings_become_the_rules():
    assert RULES.guardrails == {"unsubscribed": 0.002, "complained": 0.0005, "bounced": 0.005}
    assert Rules(guardrails=RULES.guardrails) == RULES
    other = Analysis.model_validate({"decision": "sequential", "correction": "none", "guardrails": {}, "alpha": 0.01})
    assert rules_of(other).decision is DecisionMode.SEQUENTIAL
    assert rules_of(other).guardrails == {}


def test_both_rules_show_the_same_figures_and_decide_each_by_its_own(clicks_and_leavers):
    facts = clicks_and_leavers({"a": (60, 0), "b": (90, 0)})
    options = {"goal": "clicked", "control": "a", "as_of_day": date(2026, 3, 2), "decide_from": date(2026, 3, 4)}
    fixed = row(ab_results(facts, **options), "clicked", "b")
    found = ab_results(facts, **options, rules=Rules(decision=DecisionMode.SEQUENTIAL))
    sequential = row(found, "clicked", "b")
    for column in ("p", "seq_p", "seq_low", "seq_high", "prob_best", "expected_loss", "n_star"):
        assert fixed[column] == sequential[column]
    assert (fixed["decision"], sequential["decision"]) == ("running", "running")
    assert fixed["p"] < 0.01 < 0.05 < sequential["seq_p"]
    assert sequential["decision_reason"].startswith("sequential p = ")
    assert sequential["decision_reason"].endswith(" is not below 0.05; open until 2026-03-04")
    assert "sequential p = " in summarise(found)
    assert sequential["mde_now"] > fixed["mde_now"]
    assert sequential["n_required"] > fixed["n_required"]


def test_three_arms_are_adjusted_by_holm_and_their_chances_add_up(clicks_and_leavers):
    results = ab_results(clicks_and_leavers({"a": (60, 0), "b": (85, 0), "c": (88, 0)}), goal="clicked", control="a")
    a, b, c = (row(results, "clicked", variant) for variant in "abc")
    assert b["p"] < 0.05
    assert (c["p_adjusted"], b["p_adjusted"]) == (pytest.approx(2 * c["p"]), pytest.approx(max(2 * c["p"], b["p"])))
    assert b["adjustment"] == "holm"
    assert sum(arm["prob_best"] for arm in (a, b, c)) == pytest.approx(1)
    assert a["expected_loss"] > b["expected_loss"] > c["expected_loss"] > 0
    assert (a["p"], a["prob_beat_control"], a["adjustment"]) == (None, None, None)
    assert c["n_star"] == 1200


def test_fewer_bounces_are_better_in_every_figure(run, new_event):
    run.freeze([("planned", "", "a")] * 200 + [("planned", "", "b")] * 200)
    run.ledger(["accepted"] * 400)
    run.events([new_event(f"m{index}", "undelivered", 1) for index in [*range(60), *range(200, 220)]])
    b = row(ab_results(run.facts(), goal="clicked", control="a"), "bounced", "b")
    assert b["absolute"] < 0
    assert b["prob_beat_control"] > 0.99
    assert b["prob_best"] == pytest.approx(b["prob_beat_control"], rel=1e-9)
    assert b["expected_loss"] < 1e-6
