"""What the report says of a run before any table: who won or why not yet, how sure, and what it costs to be wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from campaign_pipeline.analytics.experiments.decisions import Decision
from campaign_pipeline.analytics.experiments.guardrails import Guardrail
from campaign_pipeline.analytics.summary import p_text, percent, summarise
from campaign_pipeline.core.words import HELD_OUT

NO_TEST = "No test: this run has one variant, or nobody was planned."
PER = 10_000
"""Contacts for whom the loss of a wrong choice is told: a share of one contact is hard to picture."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """`tone`: good, warn, bad or calm, how the page colours it. `points`: (what about, sentences), in their order."""

    tone: str
    headline: str
    points: tuple[tuple[str, str], ...]


def verdict(results: pl.DataFrame, sums: Mapping[str, int], metrics: pl.DataFrame) -> Verdict:
    """The verdict on one run from its ab_results, its account (metrics.account) and its campaign_metrics.

    It claims only what the decisions of `results` claim; with sizes of variants that are not as planned, no figure of
    the comparison is told.
    """
    goal = results.filter("is_goal")
    rows = list(goal.filter(~pl.col("is_control")).iter_rows(named=True))
    control = goal.filter("is_control").row(0, named=True) if rows else {}
    points = [*_of_test(rows, control, results), *_of_run(sums, metrics)] if rows else [*_of_run(sums, metrics)]
    return Verdict(_tone(rows), summarise(results) or NO_TEST, tuple(points))


def _tone(rows: list[Row]) -> str:
    decisions = {row["decision"] for row in rows}
    if Decision.BLOCKED_SRM in decisions:
        return "bad"
    return "good" if Decision.SHIP in decisions else "warn" if Decision.ROLLBACK in decisions else "calm"


def _of_test(rows: list[Row], control: Row, results: pl.DataFrame) -> Iterator[tuple[str, str]]:
    yield "What to do", _advice(rows, control["variant"])
    if rows[0]["decision"] == Decision.BLOCKED_SRM:
        yield "Sizes of the variants", _sizes([control, *rows])
        return
    if sure := " ".join(filter(None, map(_sureness, rows))):
        yield "How sure", sure
    if wrong := _losses([control, *rows]):
        yield "If it is wrong", wrong
    undecided = [row for row in rows if row["decision"] in (Decision.RUNNING, Decision.INCONCLUSIVE)]
    if sizes := " ".join(filter(None, map(_needed, undecided))):
        yield "What the test can see", sizes
    if guarded := results.filter(pl.col("guardrail").is_not_null()).rows(named=True):
        yield "Guardrails", _guardrails(guarded)
    yield "Sizes of the variants", f"As planned (sample ratio p {p_text(control['srm_p'])})."


def _advice(rows: list[Row], control: str) -> str:
    """What follows from the decisions, treatment by treatment; of several winners, which is most likely the best."""
    if rows[0]["decision"] == Decision.BLOCKED_SRM:
        return "Choose nothing yet: contacts are missing from the test, and perhaps not by chance."
    shipped = [row for row in rows if row["decision"] == Decision.SHIP]
    if len(shipped) == 1:
        return f"Send {shipped[0]['variant']} from now on."
    if shipped:
        chosen = max(shipped, key=lambda row: row["prob_best"] or 0.0)
        better = ", ".join(row["variant"] for row in shipped)
        return f"All of {better} beat {control}; {chosen['variant']} is most likely the best of them: send it."
    running = [row for row in rows if row["decision"] == Decision.RUNNING]
    if running:
        return f"Wait: {running[0]['decision_reason']}. Until then send what the campaign says."
    if all(row["decision"] == Decision.ROLLBACK for row in rows):
        return f"Keep {control}."
    why = "; ".join(f"{row['variant']}: {row['decision_reason']}" for row in rows if row["decision"])
    return f"Keep {control}, or test again with more contacts ({why})."


def _sureness(row: Row) -> str | None:
    if row["absolute_low"] is None:
        return None
    sure, what = percent(row["confidence"]), row["metric"]
    figure = f"the share that {what}" if row["metric_type"] == "proportion" else f"{what} a contact"
    span = between(row, row["absolute_low"], row["absolute_high"])
    text = f"With {sure} confidence {figure} is {span} with {row['variant']} than with {row['control']}"
    if row["seq_low"] is not None:
        text += f"; {between(row, row['seq_low'], row['seq_high'])} however often one looks"
    if row["prob_beat_control"] is not None:
        text += f". The chance that {row['variant']} is better is {chance(row['prob_beat_control'])}"
    return f"{text}."


def _losses(rows: list[Row]) -> str:
    known = [row for row in rows if row["expected_loss"] is not None]
    if not known:
        return ""
    told = ", ".join(f"choosing {row['variant']} gives up {loss(row)}" for row in known)
    return (
        f"For {PER:,} contacts, {told} ({known[0]['metric']}, on average, counting the chance that another variant is "
        "better)."
    )


def loss(row: Row) -> str:
    """The expected loss of a row for PER contacts: of a proportion a number of contacts, else of the metric.

    The ratio of two sums is no sum over contacts: its loss stands as it is.
    """
    if row["expected_loss"] is None:
        return "–"
    lost = row["expected_loss"] * (1 if row["metric_type"] == "ratio" else PER)
    if row["metric_type"] == "ratio":
        return f"{lost:,.4g}"
    return "less than 0.1" if 0 < lost < 0.1 else f"{lost:,.1f}"


def _needed(row: Row) -> str | None:
    if row["mde_now"] is None:
        return None
    there = f"With the contacts of {row['control']} and {row['variant']} it would most likely find"
    text = f"{there} a difference of {amount(row, 'mde_now', sign='')} or more"
    if row["n_required"] is None:
        return f"{text}."
    return f"{text}; for a lift of {row['target']:.0%} it needs {row['n_required']:,} contacts in all."


def _guardrails(rows: list[Row]) -> str:
    """By state, the worst first; `unclear` is said as what it is: no knowledge, and no harm either."""
    several = len({row["variant"] for row in rows}) > 1
    told: list[str] = []
    for state, said in (
        (Guardrail.HARMED, "Harmed"),
        (Guardrail.UNCLEAR, "Not known yet whether harmed"),
        (Guardrail.SAFE, "Safe"),
    ):
        names = [
            f"{row['metric']} of {row['variant']}" if several else row["metric"]
            for row in rows
            if row["guardrail"] == state
        ]
        if names:
            told.append(f"{said}: {', '.join(names)}.")
    return " ".join(told)


def _sizes(rows: list[Row]) -> str:
    total = sum(row["units"] for row in rows)
    told = "; ".join(
        f"{row['variant']} has {row['units']:,} contacts ({row['units'] / total:.1%}), planned were "
        f"{row['expected_weight']:.1%}"
        for row in rows
    )
    p = p_text(rows[0]["srm_seq_p"])
    return f"{told}. By chance this is next to impossible (sample ratio p {p}): look for contacts that were lost."


def _of_run(sums: Mapping[str, int], metrics: pl.DataFrame) -> Iterator[tuple[str, str]]:
    held_out = sum(sums[part] for part in HELD_OUT)
    yield (
        "Left out",
        f"Of {sums['contacts']:,} contacts in the segment, {sums['planned']:,} were to get a message, {held_out:,} "
        f"were held out to see what would have happened anyway, and {sums['left_out']:,} could not or must not be "
        "sent to." + (f" {sums['reserved']:,} wait for a later part of the roll-out." if sums["reserved"] else ""),
    )
    opened, clicked = int(metrics["machine_opened"].sum()), int(metrics["machine_clicked"].sum())
    if opened or clicked or int(metrics["opened"].sum()):
        yield (
            "Opens",
            f"Machines opened the messages of {opened:,} contacts and clicked in those of {clicked:,}: these are "
            "counted apart. Some are never told from people, so opens are higher than the truth, and decide nothing.",
        )


def between(row: Row, low: float, high: float) -> str:
    """An interval of a difference in words: `1.84 to 4.01 points higher`, `between 0.20 points lower and 3.00 points
    higher`; in percentage points for rates, else in units of the metric."""
    scale, form, unit = (100, ".2f", " points") if row["metric_type"] == "proportion" else (1, ",.3f", "")
    if low < 0 < high:
        return f"between {-low * scale:{form}}{unit} lower and {high * scale:{form}}{unit} higher"
    near, far = sorted((abs(low), abs(high)))
    return f"{near * scale:{form}} to {far * scale:{form}}{unit} {'higher' if low + high > 0 else 'lower'}"


def amount(row: Row, column: str, *, sign: str = "+") -> str:
    """A difference of a result row in words: percentage points for rates, else in units of the metric for a contact."""
    value = row[column]
    if value is None:
        return "–"
    if row["metric_type"] == "proportion":
        return f"{100 * value:{sign}.2f} points"
    return f"{value:{sign},.3f}" if row["metric_type"] == "ratio" else f"{value:{sign},.3f} {row['metric']} a contact"


def chance(probability: float | None) -> str:
    """A probability as percentage: never quite none and never quite all."""
    if probability is None:
        return "–"
    if probability < 0.001:
        return "below 0.1%"
    return "above 99.9%" if probability > 0.999 else f"{probability:.1%}"
