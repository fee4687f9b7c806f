"""Result rows: one per metric and variant, from the units of an experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any

import polars as pl

from campaign_pipeline.analytics.decisions import RULE, decide
from campaign_pipeline.analytics.models import Source, run_model
from campaign_pipeline.analytics.schemas import AB_RESULTS, AB_STATISTICS
from campaign_pipeline.analytics.statistics import (
    CONFIDENCE,
    Comparison,
    Sample,
    compare_means,
    compare_proportions,
    engine,
    sample_ratio,
)
from campaign_pipeline.core.errors import InvalidInput

FEW = 5
"""A proportion with fewer units than this on either side, in either arm, is too small for the normal
approximation (the textbooks' n*p >= 5); a mean with fewer than 30 units an arm likewise."""
FEW_FOR_MEANS = 30


class MetricKind(StrEnum):
    PROPORTION = "proportion"  # true or false for each unit
    MEAN = "mean"  # a number for each unit


@dataclass(frozen=True)
class Metric:
    """A column of the units, and how to judge it."""

    name: str
    kind: MetricKind
    lower_is_better: bool = False
    decides: bool = True


@dataclass(frozen=True)
class Experiment:
    """What is known before any unit is looked at."""

    name: str
    metrics: Sequence[Metric]
    goal: str
    control: str
    weights: Mapping[str, float] | None = None
    """Expected share of units by variant, on any scale; None: equal over the variants seen."""
    run_id: str | None = None
    day: date | None = None
    decide_from: date | None = None


@dataclass(frozen=True)
class Arms:
    """Units by variant, and the sufficient statistics by (metric, variant)."""

    units: Mapping[str, int]
    samples: Mapping[tuple[str, str], Sample]

    def sample(self, metric: str, variant: str) -> Sample:
        return self.samples.get((metric, variant), Sample(0, None))


def analyse(experiment: Experiment, units: Source) -> pl.DataFrame:
    """Result rows (schemas.AB_RESULTS) of `units`: a `variant` column, and one column per metric.

    Rows stand in the order of the metrics, the control first. A variant that is expected and has no units has
    rows with an error. InvalidInput when the control or the goal is unknown, or units are in a variant without weight.
    """
    if experiment.goal not in {metric.name for metric in experiment.metrics}:
        names = ", ".join(metric.name for metric in experiment.metrics)
        raise InvalidInput(f"goal {experiment.goal!r} is not a metric of {experiment.name}", f"There are: {names}.")
    return rows_of(experiment, _aggregate(units))


def _aggregate(units: Source) -> Arms:
    sizes = run_model("ab_sizes", {"units": units})
    statistics = run_model("ab_statistics", {"units": units}, schema=AB_STATISTICS, float_sums=True)
    samples = {
        (row["metric"], row["variant"]): Sample(row["n"], row["mean"], row["variance"])
        for row in statistics.iter_rows(named=True)
    }
    return Arms(dict(sizes.iter_rows()), samples)


def rows_of(experiment: Experiment, arms: Arms) -> pl.DataFrame:
    """Result rows from sufficient statistics (an experiment of which only aggregates are known starts here)."""
    weights = experiment.weights or dict.fromkeys(arms.units, 1.0)
    if experiment.control not in weights:
        raise InvalidInput(
            f"control {experiment.control!r} is not a variant of {experiment.name}",
            f"There are: {', '.join(sorted(weights)) or 'none'}.",
        )
    counts = {variant: arms.units.get(variant, 0) for variant in weights} | dict(arms.units)
    ratio = sample_ratio(counts, weights)
    order = [experiment.control, *(variant for variant in sorted(weights) if variant != experiment.control)]
    common: dict[str, Any] = {
        "experiment": experiment.name,
        "run_id": experiment.run_id,
        "day": experiment.day,
        "control": experiment.control,
        "confidence": CONFIDENCE,
        "srm_chi2": ratio[0] if ratio else None,
        "srm_p": ratio[1] if ratio else None,
        "rule": RULE,
        "engine": engine(),
    }
    rows: list[dict[str, Any]] = []
    for metric in experiment.metrics:
        control = arms.sample(metric.name, experiment.control)
        for variant in order:
            identity = {
                "variant": variant,
                "is_control": variant == experiment.control,
                "units": counts[variant],
                "expected_weight": weights[variant] / sum(weights.values()),
            }
            sample = arms.sample(metric.name, variant)
            rows.append(common | identity | _figures(experiment, metric, control, sample, variant, common["srm_p"]))
    return pl.DataFrame(rows, schema=AB_RESULTS)


def _figures(
    experiment: Experiment, metric: Metric, control: Sample, sample: Sample, variant: str, srm_p: float | None
) -> dict[str, Any]:
    is_goal = metric.name == experiment.goal
    proportion = metric.kind is MetricKind.PROPORTION
    row: dict[str, Any] = {
        "metric": metric.name,
        "metric_type": metric.kind,
        "is_goal": is_goal,
        "n": sample.n,
        "mean": sample.mean,
        "variance": sample.variance,
        "successes": round(sample.mean * sample.n) if proportion and sample.mean is not None else None,
        "error": "",
    }
    if variant == experiment.control:
        return row | {"small_sample": _small(metric, sample)}
    comparison: Comparison = (compare_proportions if proportion else compare_means)(control, sample)
    small = _small(metric, control) or _small(metric, sample)
    row |= asdict(comparison) | {"small_sample": small}
    if is_goal:
        row["decision"], row["decision_reason"] = decide(
            comparison,
            lower_is_better=metric.lower_is_better,
            may_decide=metric.decides,
            small_sample=small,
            srm_p=srm_p,
            day=experiment.day,
            decide_from=experiment.decide_from,
        )
    return row


def _small(metric: Metric, sample: Sample) -> bool:
    if metric.kind is MetricKind.MEAN or sample.mean is None:
        return sample.n < FEW_FOR_MEANS
    successes = round(sample.mean * sample.n)
    return min(successes, sample.n - successes) < FEW
