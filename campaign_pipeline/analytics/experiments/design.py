"""What is known of an experiment before any unit is looked at: metrics, arms, and the rules by which it is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from campaign_pipeline.analytics.statistics import ALPHA, RelativeMethod
from campaign_pipeline.core.errors import InvalidInput


class MetricKind(StrEnum):
    PROPORTION = "proportion"  # true or false for each unit
    MEAN = "mean"  # a number for each unit
    RATIO = "ratio"  # sum of one number over sum of another, such as clicks by messages; units are not its rows
    REVENUE = "revenue"  # money for each unit, 0 for those who paid none


class DecisionMode(StrEnum):
    FIXED = "fixed"  # decides once, at a time that was set before
    SEQUENTIAL = "sequential"  # decides at any look, by the confidence sequence


class Correction(StrEnum):
    """How the p-values of several treatments of one metric are adjusted."""

    HOLM = "holm"  # no false claim among them, with probability 1 - alpha
    BENJAMINI_HOCHBERG = "benjamini_hochberg"  # of the claims, alpha are false on average
    NONE = "none"


@dataclass(frozen=True)
class Metric:
    """A column of the units, and how to judge it.

    `denominator`: the column below the line, ratios only. `covariate`: a column from before the start (CUPED); not for
    ratios. `cap`: larger values count as this one (winsorising).
    """

    name: str
    kind: MetricKind
    lower_is_better: bool = False
    decides: bool = True
    column: str | None = None
    denominator: str | None = None
    covariate: str | None = None
    cap: float | None = None

    def __post_init__(self) -> None:
        if (self.kind is MetricKind.RATIO) != (self.denominator is not None):
            raise InvalidInput(f"metric {self.name!r}: a ratio, and nothing else, has a denominator")
        if self.covariate and self.kind is MetricKind.RATIO:
            raise InvalidInput(f"metric {self.name!r}: a ratio cannot have a covariate")

    @property
    def is_share(self) -> bool:
        return self.kind is MetricKind.PROPORTION

    @property
    def source(self) -> str:
        """The column of the units that it is computed from."""
        return self.column or self.name


@dataclass(frozen=True)
class Rules:
    """How an experiment is judged; `campaigns/analysis.py` says what each is for."""

    alpha: float = ALPHA
    decision: DecisionMode = DecisionMode.FIXED
    correction: Correction = Correction.HOLM
    relative: RelativeMethod = RelativeMethod.LOG
    target: float = 0.1
    power: float = 0.8
    min_units: int = 50
    planned_units: int | None = None
    guardrails: Mapping[str, float] = field(default_factory=lambda: {})


@dataclass(frozen=True)
class Experiment:
    name: str
    metrics: Sequence[Metric]
    goal: str
    control: str
    weights: Mapping[str, float] | None = None
    """Expected share of units by variant, on any scale; None: equal over the variants seen."""
    run_id: str | None = None
    day: date | None = None
    look: float | None = None
    decide_from: date | None = None
    unit: str = "unit"
    rules: Rules = field(default_factory=Rules)

    def check(self) -> None:
        """InvalidInput for a goal that is no metric."""
        if self.goal not in {metric.name for metric in self.metrics}:
            names = ", ".join(metric.name for metric in self.metrics)
            raise InvalidInput(f"goal {self.goal!r} is not a metric of {self.name}", f"There are: {names}.")
