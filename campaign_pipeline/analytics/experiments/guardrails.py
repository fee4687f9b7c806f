"""Guardrails: metrics that a better goal must not be paid with, each with the harm that would be borne (its margin)."""

from enum import StrEnum


class Guardrail(StrEnum):
    """What the interval of the difference from control says about harm."""

    SAFE = "safe"  # all of it is below the margin: not inferior
    HARMED = "harmed"  # all of it is harm, and it may be more than the margin
    UNCLEAR = "unclear"  # neither, or there is no figure


def judge(low: float | None, high: float | None, margin: float, *, lower_is_better: bool) -> Guardrail:
    """`low` and `high` of variant less control; each bound is used alone, so with half of alpha (ICH E9, 3.3.2)."""
    if low is None or high is None:
        return Guardrail.UNCLEAR
    least, most = (low, high) if lower_is_better else (-high, -low)
    if most < margin:
        return Guardrail.SAFE
    return Guardrail.HARMED if least > 0 else Guardrail.UNCLEAR
