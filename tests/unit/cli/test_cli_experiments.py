"""`experiments plan`, and importing and showing experiments from the command line."""

import shlex
from collections.abc import Callable
from typing import Any

import pytest

A = "variant,look,n,mean\ncontrol,1,500,0.1\nnew,1,500,0.16\ncontrol,2,1000,0.1\nnew,2,1000,0.15\n"


@pytest.fixture
def say(campaigns: Callable[..., Any]) -> Callable[[str], Any]:
    """The words of a command after `campaigns experiments`, in an installation that is ready."""
    campaigns("init")
    return lambda words: campaigns("experiments", *shlex.split(words))


def test_a_plan_says_what_a_lift_needs_and_what_units_find(say):
    plan = say("plan --baseline 0.05 --lift 0.1 --json").json
    assert plan["needed"] == {"units": 62468, "by_arm": {"control": 31234, "treatment": 31234}}
    assert (plan["detectable"], plan["power_at_units"], plan["decision"]) == (None, None, "fixed")
    plan = say("plan --baseline 0.05 --lift 0.1 --units 62468 --json").json
    assert plan["power_at_units"] == pytest.approx(0.8, abs=1e-4)
    assert plan["detectable"]["relative"] == pytest.approx(0.1, abs=1e-4)
    text = say("plan --baseline 20 --sd 12 --weight 2 --weight 1 --weight 1 --units 9000 --sequential").out
    assert "3 arms, alpha 0.05 (0.025 for each treatment), power 80%, sequential" in text
    assert "With 9,000 units the smallest lift that is found is +6.4% (+1.277)." in text


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("plan", "either --baseline or --from"),
        ("plan --baseline 5", "baseline of 5 is not a rate"),
        ("plan --baseline 0.9 --lift 0.5", "cannot change by +0.45"),
        ("plan --from nothing", "nothing"),
        ("plan --baseline 0.1 --weight 1", "at least twice"),
        ("import nope.csv --name x", "--variant is missing"),
        ("import nope.csv --name x --aggregates", "does not exist"),
        ("import nope.csv --name x --aggregates --unit u", "for files of units"),
        ("import nope.csv --name x --variant v --cap spend", "'spend' is not NAME=VALUE"),
        ("import nope.csv --name x --variant v --weight a=much", "'much' is not a number"),
        ("import nope.csv --name x --variant v --alpha 2", "--alpha must be between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_told(say, words, problem):
    result = say(words)
    assert result.code in (2, 3)
    assert problem in result.err


def test_aggregates_are_imported_and_shown_at_any_look(say, tmp_path):
    file = tmp_path / "looks.csv"
    file.write_text(A)
    taken = say(f"import {file} --name looks --aggregates --metric metric:proportion")
    assert "4 aggregates at 2 looks: control 1,000, new 1,000" in taken.out
    (_, new) = say("results looks --json").json
    assert (new["look"], new["n"], new["successes"], new["decision"]) == (2.0, 1000, 150, "ship")
    (_, first) = say("results looks --look 1 --json").json
    assert (first["n"], first["n_star"]) == (500, 2000)
    shown = say("results looks --looks").out
    assert "seq low" in shown
    assert shown.count(" new ") == 2
    assert "at every look" in say("results looks").out
