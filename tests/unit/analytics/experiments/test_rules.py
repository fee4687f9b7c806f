"""Adjusted p-values, guardrails, and the decision rules."""

from datetime import date

import pytest

from campaign_pipeline.analytics.experiments.decisions import Evidence, decide
from campaign_pipeline.analytics.experiments.design import Correction, DecisionMode, Metric, MetricKind, Rules
from campaign_pipeline.analytics.experiments.guardrails import judge
from campaign_pipeline.analytics.experiments.multiplicity import adjusted
from campaign_pipeline.core.errors import InvalidInput

P = {"a": 0.03, "b": 0.01, "c": None, "d": 0.04, "e": 0.02}


def test_holm_steps_down_and_benjamini_hochberg_up():
    holm = adjusted(P, Correction.HOLM)
    assert holm == {"a": pytest.approx(0.06), "b": pytest.approx(0.04), "c": None, "d": 0.06, "e": pytest.approx(0.06)}
    bh = adjusted(P, Correction.BENJAMINI_HOCHBERG)
    assert bh == {"a": pytest.approx(0.04), "b": pytest.approx(0.04), "c": None, "d": 0.04, "e": pytest.approx(0.04)}
    assert adjusted(P, Correction.NONE) == P
    assert adjusted({"a": None}, Correction.BENJAMINI_HOCHBERG) == {"a": None}
    assert adjusted({"a": 0.7, "b": 0.8}, Correction.HOLM) == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize(
    ("low", "high", "lower_is_better", "status"),
    [
        (-0.001, 0.001, True, "safe"),
        (0.0005, 0.0015, True, "safe"),  # harm, but within what is borne
        (0.0005, 0.004, True, "harmed"),
        (-0.001, 0.004, True, "unclear"),
        (None, None, True, "unclear"),
        (-0.004, -0.0005, False, "harmed"),
        (-0.001, 0.004, False, "safe"),
        (-0.003, 0.004, False, "unclear"),
    ],
)
def test_a_guardrail_is_safe_harmed_or_unclear(low, high, lower_is_better, status):
    assert judge(low, high, 0.002, lower_is_better=lower_is_better) == status


GOAL = Metric("clicked", MetricKind.PROPORTION)
GOOD = {"absolute": 0.02, "p": 0.01, "seq_p": 0.03, "error": "", "small_sample": False, "least_units": 500}
DAY, LATER = date(2026, 3, 2), date(2026, 3, 4)


@pytest.mark.parametrize(
    ("changed", "rules", "day", "expected"),
    [
        ({}, {}, None, ("ship", "p = 0.01 is below 0.05")),
        ({"absolute": -0.02}, {}, None, ("rollback", "p = 0.01 is below 0.05")),
        ({"p": 0.06}, {}, None, ("inconclusive", "p = 0.06 is not below 0.05")),
        ({}, {"alpha": 0.005}, None, ("inconclusive", "p = 0.01 is not below 0.005")),
        ({}, {}, DAY, ("running", "decides from 2026-03-04")),
        ({}, {}, LATER, ("ship", "p = 0.01 is below 0.05")),
        ({"srm_seq_p": 0.0009}, {}, DAY, ("blocked_srm", "sample ratio p = 0.0009 is below 0.001")),
        ({"least_units": 49}, {}, None, ("inconclusive", "an arm has 49 units, fewer than 50")),
        ({"small_sample": True}, {}, None, ("inconclusive", "too few units with and without the goal")),
        ({"error": "no_units", "p": None}, {}, None, ("inconclusive", "no figure: no_units")),
        (
            {"harmed": ["x"]},
            {},
            None,
            ("inconclusive", "p = 0.01 is below 0.05, but guardrail x is harmed"),
        ),
        ({"harmed": ["x"], "absolute": -1.0}, {}, None, ("rollback", "p = 0.01 is below 0.05")),
        ({}, {"decision": DecisionMode.SEQUENTIAL}, DAY, ("ship", "sequential p = 0.03 is below 0.05")),
        (
            {"seq_p": 0.2},
            {"decision": DecisionMode.SEQUENTIAL},
            DAY,
            ("running", "sequential p = 0.2 is not below 0.05; open until 2026-03-04"),
        ),
        (
            {"seq_p": 0.2, "p": 0.001},
            {"decision": DecisionMode.SEQUENTIAL},
            LATER,
            ("inconclusive", "sequential p = 0.2 is not below 0.05"),
        ),
    ],
)
def test_the_decision_and_its_reason(changed, rules, day, expected):
    evidence = Evidence(**({"srm_seq_p": 0.5} | GOOD | changed))
    assert decide(evidence, GOAL, Rules(**rules), day=day, decide_from=LATER if day else None) == expected


def test_opens_never_decide_in_either_mode():
    opened = Metric("opened", MetricKind.PROPORTION, decides=False)
    for mode in DecisionMode:
        evidence = Evidence(srm_seq_p=0.5, **GOOD)
        found = decide(evidence, opened, Rules(decision=mode), day=LATER, decide_from=DAY)
        assert found == ("inconclusive", "opens are reported and never decide")


def test_a_metric_is_a_ratio_or_has_no_denominator():
    with pytest.raises(InvalidInput, match="denominator"):
        Metric("x", MetricKind.RATIO)
    with pytest.raises(InvalidInput, match="denominator"):
        Metric("x", MetricKind.MEAN, denominator="y")
    with pytest.raises(InvalidInput, match="covariate"):
        Metric("x", MetricKind.RATIO, denominator="y", covariate="z")
