"""What to do after a test: one rule for each mode, with a version, that says why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from campaign_pipeline.analytics.experiments.design import DecisionMode, Metric, Rules
from campaign_pipeline.analytics.experiments.sample_ratio import SRM_ALPHA

RULES = {DecisionMode.FIXED: "fixed-horizon-2", DecisionMode.SEQUENTIAL: "sequential-1"}
"""Versions of the rules below; raise them with every change, because results keep them."""


class Decision(StrEnum):
    """What the result of the goal metric says about one treatment."""

    RUNNING = "running"  # the day of the decision has not come: looking earlier cries wolf
    SHIP = "ship"  # better than control, p below alpha
    ROLLBACK = "rollback"  # worse than control, p below alpha
    INCONCLUSIVE = "inconclusive"  # no difference shown, too little to say, or a guardrail is harmed
    BLOCKED_SRM = "blocked_srm"  # units are not in their planned proportions: no figure can be trusted


@dataclass(frozen=True)
class Evidence:
    """Of one treatment: the goal's difference from control, adjusted p-values, sizes, and harmed guardrails."""

    absolute: float | None
    p: float | None
    seq_p: float | None
    error: str
    small_sample: bool
    least_units: int
    srm_seq_p: float | None
    harmed: Sequence[str] = ()


def decide(
    evidence: Evidence, metric: Metric, rules: Rules, *, day: date | None, decide_from: date | None
) -> tuple[Decision, str]:
    """The decision on one treatment by the goal metric, and its reason.

    A fixed test decides once, from `decide_from` on (`day` is before it: running; None: on what is there). A sequential
    one decides at any look, and is inconclusive when it has not by then.
    """
    if evidence.srm_seq_p is not None and evidence.srm_seq_p < SRM_ALPHA:
        return Decision.BLOCKED_SRM, f"sample ratio p = {evidence.srm_seq_p:.3g} is below {SRM_ALPHA}"
    sequential = rules.decision is DecisionMode.SEQUENTIAL
    early = day is not None and decide_from is not None and day < decide_from
    if early and not sequential:
        return Decision.RUNNING, f"decides from {decide_from}"
    wait = (Decision.RUNNING, f"; open until {decide_from}") if early else (Decision.INCONCLUSIVE, "")
    if not metric.decides:
        return Decision.INCONCLUSIVE, "opens are reported and never decide"
    name, p = ("sequential p", evidence.seq_p) if sequential else ("p", evidence.p)
    if evidence.error or p is None or evidence.absolute is None:
        return wait[0], f"no figure: {evidence.error}{wait[1]}"
    if evidence.small_sample:
        return wait[0], f"too few units with and without the goal{wait[1]}"
    if evidence.least_units < rules.min_units:
        return wait[0], f"an arm has {evidence.least_units} units, fewer than {rules.min_units}{wait[1]}"
    if p >= rules.alpha:
        return wait[0], f"{name} = {p:.3g} is not below {rules.alpha:g}{wait[1]}"
    reason = f"{name} = {p:.3g} is below {rules.alpha:g}"
    if (evidence.absolute > 0) == metric.lower_is_better:
        return Decision.ROLLBACK, reason
    if evidence.harmed:
        return Decision.INCONCLUSIVE, f"{reason}, but guardrail {', '.join(evidence.harmed)} is harmed"
    return Decision.SHIP, reason
