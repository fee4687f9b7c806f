"""What to do after a test: one rule, with a version, that says why."""

from datetime import date
from enum import StrEnum

from campaign_pipeline.analytics.statistics import Comparison

RULE = "fixed-horizon-1"
"""Version of the rule below; raise it with every change, because results keep it."""

ALPHA = 0.05
SRM_ALPHA = 0.001


class Decision(StrEnum):
    """What the result of the goal metric says about one treatment."""

    RUNNING = "running"  # the day of the decision has not come: looking earlier cries wolf
    SHIP = "ship"  # better than control, p below ALPHA
    ROLLBACK = "rollback"  # worse than control, p below ALPHA
    INCONCLUSIVE = "inconclusive"  # no difference shown, or too little to say
    BLOCKED_SRM = "blocked_srm"  # units are not in their planned proportions: no figure can be trusted


def decide(
    comparison: Comparison,
    *,
    lower_is_better: bool,
    may_decide: bool,
    small_sample: bool,
    srm_p: float | None,
    day: date | None = None,
    decide_from: date | None = None,
) -> tuple[Decision, str]:
    """The decision on one treatment by the goal metric, and its reason.

    `day` and `decide_from`: a test of fixed length decides once, at its end; None decides on what is there.
    """
    if srm_p is not None and srm_p < SRM_ALPHA:
        return Decision.BLOCKED_SRM, f"sample ratio p = {srm_p:.3g} is below {SRM_ALPHA}"
    if day is not None and decide_from is not None and day < decide_from:
        return Decision.RUNNING, f"decides from {decide_from}"
    if not may_decide:
        return Decision.INCONCLUSIVE, "opens are reported and never decide"
    if comparison.error or comparison.p is None or comparison.absolute is None:
        return Decision.INCONCLUSIVE, f"no figure: {comparison.error}"
    if small_sample:
        return Decision.INCONCLUSIVE, "too few units with and without the goal"
    if comparison.p >= ALPHA:
        return Decision.INCONCLUSIVE, f"p = {comparison.p:.3g} is not below {ALPHA}"
    better = (comparison.absolute > 0) != lower_is_better
    return (Decision.SHIP if better else Decision.ROLLBACK), f"p = {comparison.p:.3g} is below {ALPHA}"
