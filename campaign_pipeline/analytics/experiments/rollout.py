"""What a roll-out does next, by the result rows of its goal: pure functions of the figures and the time.

Rule: the variant with the highest probability to be the best is sent to all others once its expected loss is small
beside the control's mean; a sample ratio that cannot be chance blocks it. Source: Stucchi, VWO white paper (2015), for
deciding by expected loss; Chapelle and Li (2011) for batched Thompson sampling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from campaign_pipeline.analytics.experiments.bandits import thompson_weights
from campaign_pipeline.analytics.experiments.posteriors import posterior_of
from campaign_pipeline.analytics.statistics import Sample
from campaign_pipeline.campaigns.rollout import Thompson, Winner

RULE = "rollout-1"
"""Version of the rules below; it is kept with each decision."""

SRM_P = 0.001
"""Below this sequential p of the sample ratio nothing is decided by figures."""


@dataclass(frozen=True)
class Choice:
    """How the next part is shared among the variants, or None: wait. `reason` is for people."""

    weights: Mapping[str, float] | None
    reason: str


def choose_winner(rollout: Winner, goal: pl.DataFrame, elapsed: timedelta) -> Choice:
    """`goal`: the result rows of the metric that decides, the control among them; `elapsed`: since the run's time."""
    control = _control(goal)
    timed_out = elapsed >= rollout.timeout
    wait = _timeout(rollout, goal, control) if timed_out else None
    if why := blocked(goal):
        return Choice({control: 1.0}, f"timeout, and {why}: the control") if timed_out else Choice(None, why)
    crossed = rollout.decide_when == "sequential" and _crossed(goal)
    if elapsed < rollout.decide_after and not crossed:
        return Choice(None, f"it is decided {_hours(rollout.decide_after)} after the run's time")
    figures = _figures(goal)
    if figures is None:
        return wait or Choice(None, "there are no figures yet to decide by")
    name, loss = figures
    if loss <= rollout.max_expected_loss:
        why = f"{name} is the best with {_chance(goal, name):.1%}; choosing it costs {loss:.2%} of the control's mean"
        return Choice({name: 1.0}, f"{why}{', the sequential interval has left zero' if crossed else ''}")
    limit = f"more than {rollout.max_expected_loss:.2%}"
    return wait or Choice(None, f"choosing {name} would cost {loss:.2%} of the control's mean on average, {limit}")


def thompson_part(
    rollout: Thompson, variants: Sequence[str], parts: Sequence[pl.DataFrame], size: int, *, lower_is_better: bool
) -> Choice:
    """The shares of the next batch, of `size` contacts; `parts`: the goal's result rows of each part so far.

    The arms' samples are pooled over the parts. Equal shares where an arm has no figure yet.
    """
    posteriors = {name: posterior_of(pooled(parts, name), share=_is_share(parts)) for name in variants}
    known = {name: posterior for name, posterior in posteriors.items() if posterior is not None}
    if len(known) < len(variants):
        missing = ", ".join(name for name in variants if name not in known)
        return Choice(dict.fromkeys(variants, 1 / len(variants)), f"no figure of {missing} yet: equal shares")
    least = min(max(rollout.floor, rollout.at_least / size if size else 0.0), 1 / len(variants))
    weights = thompson_weights(known, floor=least, lower_is_better=lower_is_better)
    return Choice(weights, "about the probability of each to be the best, " + ", ".join(_told(weights)))


def pooled(parts: Sequence[pl.DataFrame], variant: str) -> Sample:
    """The arm's sample over all parts, as if it were one: sizes, means and variances of the parts put together."""
    found = [
        (row["n"], row["mean"], row["variance"] or 0.0)
        for rows in parts
        for row in rows.filter(pl.col("variant") == variant, pl.col("n") > 0).iter_rows(named=True)
        if row["mean"] is not None
    ]
    total = sum(n for n, _, _ in found)
    if not total:
        return Sample(0, None)
    mean = sum(n * each for n, each, _ in found) / total
    squares = sum((n - 1) * variance + n * (each - mean) ** 2 for n, each, variance in found)
    return Sample(total, mean, squares / (total - 1) if total > 1 else None)


def blocked(goal: pl.DataFrame) -> str:
    """Why nothing is decided by these figures, though there are any; '' if nothing is wrong with them."""
    p = goal["srm_seq_p"].min() if goal.height else None
    if not isinstance(p, float) or p >= SRM_P:
        return ""
    return f"the variants' sizes are not as they should be (p = {p:.2g})"


def figures_of(goal: pl.DataFrame) -> list[dict[str, Any]]:
    """What a decision keeps of the rows that it was made by."""
    kept = ("variant", "metric", "units", "n", "mean", "prob_best", "expected_loss", "seq_p", "srm_seq_p", "error")
    return goal.select(*kept).to_dicts()


def _timeout(rollout: Winner, goal: pl.DataFrame, control: str) -> Choice:
    figures = _figures(goal)
    if rollout.on_timeout == "best" and figures:
        return Choice({figures[0]: 1.0}, f"timeout: the one that is the best so far, {figures[0]}")
    return Choice({control: 1.0}, "timeout: the control")


def _figures(goal: pl.DataFrame) -> tuple[str, float] | None:
    """(the most probable best variant, its expected loss as a share of the control's mean)."""
    known = goal.filter(pl.col("prob_best").is_not_null(), pl.col("expected_loss").is_not_null())
    if known.height < goal.height or known.is_empty():
        return None
    mean = goal.filter("is_control")["mean"][0]
    if not mean:
        return None
    best = known.sort("prob_best", "variant", descending=[True, False]).row(0, named=True)
    return best["variant"], best["expected_loss"] / abs(mean)


def _control(goal: pl.DataFrame) -> str:
    return goal.filter("is_control")["variant"][0]


def _crossed(goal: pl.DataFrame) -> bool:
    """Whether the sequential interval of any variant's difference to the control leaves zero out."""
    low, high = pl.col("seq_low"), pl.col("seq_high")
    return not goal.filter((low > 0) | (high < 0)).is_empty()


def _chance(goal: pl.DataFrame, variant: str) -> float:
    return goal.filter(pl.col("variant") == variant)["prob_best"][0]


def _is_share(parts: Sequence[pl.DataFrame]) -> bool:
    return next((rows["metric_type"][0] for rows in parts if rows.height), None) == "proportion"


def _told(weights: Mapping[str, float]) -> list[str]:
    return [f"{name} {weight:.1%}" for name, weight in weights.items()]


def _hours(length: timedelta) -> str:
    return f"{length.total_seconds() / 3600:g} h"
