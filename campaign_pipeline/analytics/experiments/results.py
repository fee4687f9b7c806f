"""Result rows: one per metric and variant, from the units of an experiment or from sufficient statistics."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from campaign_pipeline.analytics.experiments.cuped import Adjustment, adjust
from campaign_pipeline.analytics.experiments.decisions import RULES, Evidence, decide
from campaign_pipeline.analytics.experiments.design import DecisionMode, Experiment, Metric
from campaign_pipeline.analytics.experiments.guardrails import Guardrail, judge
from campaign_pipeline.analytics.experiments.multiplicity import adjusted
from campaign_pipeline.analytics.experiments.planning import Plan
from campaign_pipeline.analytics.experiments.posteriors import beats, best, expected_losses, posterior_of
from campaign_pipeline.analytics.experiments.sample_ratio import sample_ratio, sequential_sample_ratio
from campaign_pipeline.analytics.experiments.samples import Arms, aggregate
from campaign_pipeline.analytics.experiments.sequential import interval, p_value
from campaign_pipeline.analytics.models import Source
from campaign_pipeline.analytics.schemas import AB_RESULTS
from campaign_pipeline.analytics.statistics import (
    Comparison,
    Error,
    Sample,
    compare_means,
    compare_proportions,
    engine,
    is_noise,
)
from campaign_pipeline.core.errors import InvalidInput

FEW = 5
"""A proportion with fewer units than this on either side, in either arm, is too small for the normal
approximation (the textbooks' n*p >= 5); a mean with fewer than 30 units an arm likewise."""
FEW_FOR_MEANS = 30

Row = dict[str, Any]


def analyse(experiment: Experiment, units: Source) -> pl.DataFrame:
    """Result rows (schemas.AB_RESULTS) of `units`: a `variant` column, and the columns of the metrics.

    Rows stand in the order of the metrics, the control first. A variant that is expected and has no units, and a metric
    whose column is not there, have rows with an error. InvalidInput when the control or the goal is unknown, or units
    are in a variant without weight.
    """
    experiment.check()
    return rows_of(experiment, aggregate(experiment, units))


def rows_of(experiment: Experiment, arms: Arms) -> pl.DataFrame:
    """Result rows from sufficient statistics (an experiment of which only aggregates are known starts here)."""
    frame = _Frame.of(experiment, arms)
    tables = {metric.name: _metric_rows(frame, metric, arms) for metric in experiment.metrics}
    _decide(frame, tables)
    rows = [row for table in tables.values() for row in table.values()]
    return pl.DataFrame(rows, schema=AB_RESULTS)


@dataclass(frozen=True)
class _Frame:
    """What all rows of an experiment share: identity, sizes, the sample-ratio check."""

    experiment: Experiment
    order: tuple[str, ...]  # variants, the control first
    counts: Mapping[str, int]
    shares: Mapping[str, float]
    common: Row

    @classmethod
    def of(cls, experiment: Experiment, arms: Arms) -> "_Frame":
        weights = experiment.weights or dict.fromkeys(arms.units, 1.0)
        if experiment.control not in weights:
            raise InvalidInput(
                f"control {experiment.control!r} is not a variant of {experiment.name}",
                f"There are: {', '.join(sorted(weights)) or 'none'}.",
            )
        counts = {variant: arms.units.get(variant, 0) for variant in weights} | dict(arms.units)
        ratio = sample_ratio(counts, weights)
        planned = experiment.rules.planned_units or max(sum(counts.values()), 1)
        common: Row = {
            "experiment": experiment.name,
            "run_id": experiment.run_id,
            "day": experiment.day,
            "look": experiment.look,
            "unit": experiment.unit,
            "control": experiment.control,
            "confidence": 1 - experiment.rules.alpha,
            "target": experiment.rules.target,
            "srm_chi2": ratio[0] if ratio else None,
            "srm_p": ratio[1] if ratio else None,
            "srm_seq_p": sequential_sample_ratio(counts, weights, planned),
            "rule": RULES[experiment.rules.decision],
            "engine": engine(),
        }
        order = (experiment.control, *(variant for variant in sorted(weights) if variant != experiment.control))
        scale = sum(weights.values())
        return cls(experiment, order, counts, {name: weight / scale for name, weight in weights.items()}, common)

    @property
    def treatments(self) -> tuple[str, ...]:
        return self.order[1:]

    def n_star(self, variant: str) -> int:
        """The planned number of units of control and `variant` together: where its interval is narrowest."""
        pair = (self.experiment.control, variant)
        planned = self.experiment.rules.planned_units
        if planned is None:
            return sum(self.counts[name] for name in pair)
        return round(planned * sum(self.shares[name] for name in pair))


def _metric_rows(frame: _Frame, metric: Metric, arms: Arms) -> dict[str, Row]:
    """The rows of one metric by variant, without decisions."""
    experiment = frame.experiment
    moments = {variant: arms.of(metric.name, variant) for variant in frame.order}
    raw = {variant: known.sample(metric.kind) for variant, known in moments.items()}
    adjustment = adjust(moments, experiment.control) if metric.covariate else None
    samples = {**raw, **adjustment.samples} if adjustment else raw
    rows: dict[str, Row] = {}
    for variant in frame.order:
        row = frame.common | {
            "metric": metric.name,
            "metric_type": metric.kind,
            "is_goal": metric.name == experiment.goal,
            "variant": variant,
            "is_control": variant == experiment.control,
            "units": frame.counts[variant],
            "expected_weight": frame.shares[variant],
            "denominator_mean": moments[variant].denominator_mean,
            "error": "" if arms.has(metric.name) else Error.NO_SOURCE,
            **_arm(metric, raw[variant], samples[variant], adjustment),
        }
        rows[variant] = row
    for variant in frame.treatments:
        row = rows[variant]
        row["small_sample"] = _small(metric, raw[experiment.control]) or _small(metric, raw[variant])
        if not row["error"]:
            row |= _compared(frame, metric, samples, variant, adjusted=adjustment is not None)
    if arms.has(metric.name):
        _add_posteriors(metric, samples, rows, adjusted=adjustment is not None)
        _add_plan(frame, metric, samples, rows, adjusted=adjustment is not None)
    for source, target in (("p", "p_adjusted"), ("seq_p", "seq_p_adjusted")):
        family = {variant: rows[variant].get(source) for variant in frame.treatments}
        for variant, value in adjusted(family, experiment.rules.correction).items():
            rows[variant] |= {target: value, "adjustment": experiment.rules.correction}
    return rows


def _arm(metric: Metric, raw: Sample, sample: Sample, adjustment: Adjustment | None) -> Row:
    """What is known of one arm alone."""
    return {
        "n": raw.n,
        "mean": raw.mean,
        "variance": raw.variance,
        "successes": round(raw.mean * raw.n) if metric.is_share and raw.mean is not None else None,
        "small_sample": _small(metric, raw),
        "cuped_used": adjustment is not None if metric.covariate else None,
        "cuped_mean": sample.mean if adjustment else None,
        "theta": adjustment.theta if adjustment else None,
        "variance_reduction": adjustment.variance_reduction if adjustment else None,
    }


def _compared(frame: _Frame, metric: Metric, samples: Mapping[str, Sample], variant: str, *, adjusted: bool) -> Row:
    """The comparison of one treatment with the control: fixed, sequential and Bayesian figures side by side."""
    rules = frame.experiment.rules
    control, treatment = samples[frame.experiment.control], samples[variant]
    compare = compare_proportions if metric.is_share and not adjusted else compare_means
    comparison: Comparison = compare(control, treatment, rules.alpha, rules.relative)
    row: Row = asdict(comparison)
    difference, error = comparison.absolute, comparison.standard_error
    if difference is not None and error:
        n, n_star = control.n + treatment.n, frame.n_star(variant)
        low, high = interval(difference, error, n, n_star, rules.alpha)
        row |= {
            "n_star": n_star,
            "seq_low": low,
            "seq_high": high,
            "seq_p": p_value(difference, error, n, n_star, rules.alpha),
            "prob_beat_control": beats(-difference if metric.lower_is_better else difference, error),
        }
    margin = rules.guardrails.get(metric.name)
    if margin is not None:
        row |= {"guardrail_margin": margin, "guardrail": _guardrail(row, metric, frame.experiment, margin)}
    return row


def _guardrail(row: Row, metric: Metric, experiment: Experiment, margin: float) -> Guardrail:
    if experiment.rules.decision is DecisionMode.SEQUENTIAL:
        ends = row.get("seq_low"), row.get("seq_high")
    elif row["score_low"] is not None:  # guardrails are rare events, where Wald's interval is too narrow
        ends = row["score_low"], row["score_high"]
    else:
        ends = row["absolute_low"], row["absolute_high"]
    return judge(*ends, margin, lower_is_better=metric.lower_is_better)


def _add_posteriors(metric: Metric, samples: Mapping[str, Sample], rows: dict[str, Row], *, adjusted: bool) -> None:
    """Probability to be best and expected loss, of all arms that have a posterior; nothing where all are alike."""
    share = metric.is_share and not adjusted
    if share and len({sample.mean for sample in samples.values() if sample.n} - {0.0, 1.0}) == 0:
        return
    known = {name: posterior for name, sample in samples.items() if (posterior := posterior_of(sample, share=share))}
    if len(known) < 2:
        return
    chances = best(known, lower_is_better=metric.lower_is_better)
    losses = expected_losses(known, lower_is_better=metric.lower_is_better)
    for variant in known:
        rows[variant] |= {"prob_best": chances[variant], "expected_loss": losses[variant]}


def _add_plan(
    frame: _Frame, metric: Metric, samples: Mapping[str, Sample], rows: dict[str, Row], *, adjusted: bool
) -> None:
    """What each comparison can detect with the units it has, and what the whole test needs for its target."""
    rules, control = frame.experiment.rules, samples[frame.experiment.control]
    share = metric.is_share and not adjusted
    if not control.mean or (share and control.mean == 1) or (not share and not control.variance):
        return
    lift = rules.target * abs(control.mean)
    within = control.mean + lift <= 1 if share else not is_noise(control)

    def plan(shares: Mapping[str, float], alpha: float) -> Plan:
        return Plan(
            mean=control.mean or 0.0,
            variance=None if share else control.variance,
            control=frame.experiment.control,
            shares=shares,
            alpha=alpha,
            power=rules.power,
            sequential=rules.decision is DecisionMode.SEQUENTIAL,
        )

    for variant in frame.treatments:
        if rows[variant].get("p") is None:
            continue
        pair = {frame.experiment.control: control.n, variant: samples[variant].n}
        units = sum(pair.values())
        own = plan(pair, rules.alpha / len(frame.treatments))
        rows[variant] |= {
            "mde_now": own.detectable(units),
            "power_at_target": own.power_at(lift, units) if within else None,
            "n_required": plan(frame.shares, rules.alpha).units_for(lift) if within else None,
        }


def _decide(frame: _Frame, tables: Mapping[str, dict[str, Row]]) -> None:
    """Decisions go to the goal's rows of treatments."""
    experiment = frame.experiment
    goal = next((metric for metric in experiment.metrics if metric.name == experiment.goal), None)
    if goal is None:
        return
    for variant in frame.treatments:
        row = tables[goal.name][variant]
        harmed = [name for name, rows in tables.items() if rows[variant].get("guardrail") is Guardrail.HARMED]
        evidence = Evidence(
            absolute=row.get("absolute"),
            p=row["p_adjusted"],
            seq_p=row["seq_p_adjusted"],
            error=row["error"],
            small_sample=row["small_sample"],
            least_units=min(frame.counts[name] for name in (experiment.control, variant)),
            srm_seq_p=row["srm_seq_p"],
            harmed=[name for name in harmed if name != goal.name],
        )
        row["decision"], row["decision_reason"] = decide(
            evidence, goal, experiment.rules, day=experiment.day, decide_from=experiment.decide_from
        )


def _small(metric: Metric, sample: Sample) -> bool:
    if not metric.is_share or sample.mean is None:
        return sample.n < FEW_FOR_MEANS
    successes = round(sample.mean * sample.n)
    return min(successes, sample.n - successes) < FEW
