"""What the report says first agrees with the rows that it is said of, decision by decision."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl
import pytest

from campaign_pipeline.analytics.experiments.design import DecisionMode, Rules
from campaign_pipeline.analytics.experiments.runs import ab_results
from campaign_pipeline.analytics.metrics import account, build_audience_summary, build_campaign_metrics
from campaign_pipeline.analytics.verdict import NO_TEST, PER, Verdict, between, chance, loss, verdict

SEQUENTIAL = Rules(decision=DecisionMode.SEQUENTIAL)
EARLY = {"as_of_day": date(2026, 3, 3), "decide_from": date(2026, 3, 9)}


@dataclass(frozen=True)
class Case:
    """`said` and `advice`: how headline and advice begin; `figures`: whether the levels are told in the headline."""

    arms: Mapping[str, tuple[int, int]]
    decision: str
    tone: str
    said: str
    advice: str
    figures: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


CASES = {
    "better": Case({"a": (400, 30), "b": (400, 80)}, "ship", "good", "b beat a: ", "Send b from now on."),
    "worse": Case({"a": (400, 80), "b": (400, 30)}, "rollback", "warn", "b did worse than a: ", "Keep a."),
    "too early": Case(
        {"a": (400, 30), "b": (400, 80)},
        "running",
        "calm",
        "b against a is still running (decides from 2026-03-09)",
        "Wait: decides from 2026-03-09. ",
        arguments=EARLY,
    ),
    "no difference": Case(
        {"a": (400, 80), "b": (400, 82)},
        "inconclusive",
        "calm",
        "No difference shown between b and a: ",
        "Keep a, or test again with more contacts (b: p = ",
    ),
    "few": Case({"a": (10, 0), "b": (10, 6)}, "inconclusive", "calm", "Too few yet to compare b with a", "Keep a, or "),
    "fewer than the least": Case(
        {"a": (400, 30), "b": (400, 80)},
        "inconclusive",
        "calm",
        "No difference shown between b and a: ",
        "Keep a, or test again with more contacts (b: an arm has 400 units, fewer than 500).",
        arguments={"rules": Rules(min_units=500)},
    ),
    "all alike": Case(
        {"a": (50, 0), "b": (50, 0)},
        "inconclusive",
        "calm",
        "Nothing can be said about b against a: all units of each variant are alike.",
        "Keep a, or test again with more contacts (b: no figure: zero_variance).",
        figures=False,
    ),
    "sizes are off": Case(
        {"a": (600, 60), "b": (300, 120)},
        "blocked_srm",
        "bad",
        "Do not trust these figures: ",
        "Choose nothing yet",
        figures=False,
    ),
    "better at any time": Case(
        {"a": (400, 30), "b": (400, 90)},
        "ship",
        "good",
        "b beat a: ",
        "Send b from now on.",
        arguments={"rules": SEQUENTIAL, **EARLY},
    ),
    "not yet better at any time": Case(
        {"a": (400, 80), "b": (400, 82)},
        "running",
        "calm",
        "b against a is still running (sequential p = ",
        "Wait: sequential p = ",
        arguments={"rules": SEQUENTIAL, **EARLY},
    ),
}


def told(facts: pl.DataFrame, results: pl.DataFrame) -> Verdict:
    metrics = build_campaign_metrics(facts)
    return verdict(results, account(build_audience_summary(facts), metrics), metrics)


def goal_row(results: pl.DataFrame, variant: str) -> dict[str, Any]:
    return results.row(by_predicate=pl.col("is_goal") & (pl.col("variant") == variant), named=True)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_verdict_says_what_the_decision_says(case, tested_run):
    facts = tested_run(case.arms)
    results = ab_results(facts, goal="clicked", control="a", **case.arguments)
    a, b = goal_row(results, "a"), goal_row(results, "b")
    said = told(facts, results)
    points = dict(said.points)
    assert (b["decision"], said.tone) == (case.decision, case.tone)
    assert said.headline.startswith(case.said)
    assert points["What to do"].startswith(case.advice)
    assert ("beat" in said.headline) == (case.decision == "ship")
    if case.figures:
        assert f"clicked {b['mean']:.2%} against {a['mean']:.2%}" in said.headline
    else:
        assert "%" not in said.headline


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_figures_that_are_told_are_those_of_the_rows(case, tested_run):
    facts = tested_run(case.arms)
    results = ab_results(facts, goal="clicked", control="a", **case.arguments)
    a, b = goal_row(results, "a"), goal_row(results, "b")
    points = dict(told(facts, results).points)
    if case.decision == "blocked_srm":
        assert set(points) == {"What to do", "Sizes of the variants", "Left out"}
        assert "a has 600 contacts (66.7%), planned were 50.0%" in points["Sizes of the variants"]
        return
    if b["absolute_low"] is None:
        assert "How sure" not in points
        assert "If it is wrong" not in points
        return
    ends = [float(number) for number in re.findall(r"[\d.]+(?= points| to)", points["How sure"])]
    expected = [
        round(abs(100 * end), 2)
        for low, high in ((b["absolute_low"], b["absolute_high"]), (b["seq_low"], b["seq_high"]))
        for end in ((low, high) if low + high > 0 or low < 0 < high else (high, low))
    ]
    assert ends == expected
    assert points["How sure"].endswith(f"better is {chance(b['prob_beat_control'])}.")
    assert f"choosing a gives up {loss(a)}, choosing b gives up {loss(b)} (" in points["If it is wrong"]
    assert loss(a) == f"{a['expected_loss'] * PER:,.1f}" or 0 < a["expected_loss"] * PER < 0.1
    needed = points.get("What the test can see", "")
    undecided = case.decision in ("running", "inconclusive")
    assert bool(needed) == (undecided and b["mde_now"] is not None)
    assert ("contacts in all" in needed) == (bool(needed) and b["n_required"] is not None)
    assert not needed or b["n_required"] is None or f"it needs {b['n_required']:,} contacts in all" in needed


def test_a_goal_that_is_paid_with_harm_is_not_sent(run, new_event):
    run.freeze([("planned", "", "a")] * 500 + [("planned", "", "b")] * 500)
    run.ledger(["accepted"] * 1000)
    clicked = [new_event(f"m{index}", "clicked", 5) for index in [*range(40), *range(500, 620)]]
    left = [new_event(f"m{index}", "unsubscribed", 6) for index in [*range(6), *range(500, 540)]]
    run.events(clicked + left)
    facts = run.facts()
    results = ab_results(facts, goal="clicked", control="a", rules=Rules(guardrails={"unsubscribed": 0.002}))
    said = told(facts, results)
    assert said.tone == "calm"
    assert said.headline.startswith("b is not to be shipped, although clicked is better: ")
    assert dict(said.points)["Guardrails"] == "Harmed: unsubscribed."


def test_opens_decide_nothing_and_are_said_to_be_too_many(run, new_event):
    run.freeze([("planned", "", "a")] * 50 + [("planned", "", "b")] * 50)
    run.ledger(["accepted"] * 100)
    people = [new_event(f"m{index}", "opened", 1) for index in [*range(10), *range(50, 90)]]
    run.events([*people, *(new_event(f"m{index}", "opened", 2, machine=True) for index in range(30))])
    facts = run.facts()
    said = told(facts, ab_results(facts, goal="opened", control="a"))
    points = dict(said.points)
    assert said.tone == "calm"
    assert "opens are reported and never decide" in points["What to do"]
    assert points["Opens"].startswith("Machines opened the messages of 30 contacts and clicked in those of 0: ")


def test_of_several_winners_the_most_likely_best_is_to_be_sent(tested_run):
    facts = tested_run({"a": (500, 30), "b": (500, 90), "c": (500, 140)})
    results = ab_results(facts, goal="clicked", control="a")
    assert goal_row(results, "c")["prob_best"] > goal_row(results, "b")["prob_best"]
    advice = dict(told(facts, results).points)["What to do"]
    assert advice == "All of b, c beat a; c is most likely the best of them: send it."


def test_without_a_test_it_says_so_and_who_was_left_out(run):
    run.freeze([("planned", "", "a")] * 3 + [("held_out", "", None)] * 2 + [("no_consent", "", None)])
    run.ledger(["accepted"] * 3)
    facts = run.facts()
    said = told(facts, ab_results(facts, goal="clicked", control="a"))
    assert (said.tone, said.headline) == ("calm", NO_TEST)
    assert said.points == (
        (
            "Left out",
            "Of 6 contacts in the segment, 3 were to get a message, 2 were held out to see what would have happened "
            "anyway, and 1 could not or must not be sent to.",
        ),
    )


@pytest.mark.parametrize(
    ("kind", "low", "high", "words"),
    [
        ("proportion", 0.01, 0.025, "1.00 to 2.50 points higher"),
        ("proportion", -0.025, -0.01, "1.00 to 2.50 points lower"),
        ("proportion", -0.002, 0.03, "between 0.20 points lower and 3.00 points higher"),
        ("revenue", -1234.5, -2.0, "2.000 to 1,234.500 lower"),
        ("proportion", 0.0, 0.01, "0.00 to 1.00 points higher"),
    ],
)
def test_intervals_in_words(kind, low, high, words):
    assert between({"metric_type": kind}, low, high) == words


def test_a_probability_is_never_quite_none_or_all():
    assert [chance(p) for p in (None, 0.0, 0.4567, 1.0)] == ["–", "below 0.1%", "45.7%", "above 99.9%"]


def test_a_loss_is_told_for_many_contacts():
    rows = [("proportion", 0.0123), ("proportion", 1e-7), ("revenue", 0.25), ("ratio", 0.01234567), ("mean", None)]
    assert [loss({"metric_type": kind, "expected_loss": value}) for kind, value in rows] == [
        *("123.0", "less than 0.1", "2,500.0", "0.01235", "–")
    ]
