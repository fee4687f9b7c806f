"""Sufficient statistics of the arms: what DuckDB gives, and what of it the tests see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from campaign_pipeline.analytics.experiments.design import Experiment, Metric, MetricKind
from campaign_pipeline.analytics.models import Source, run_model
from campaign_pipeline.analytics.schemas import AB_STATISTICS
from campaign_pipeline.analytics.statistics import Sample


@dataclass(frozen=True)
class Moments:
    """Of one metric in one arm: n, and means, variances (n - 1) and covariances of its columns, as far as known."""

    n: int
    mean: float | None
    variance: float | None = None
    denominator_mean: float | None = None
    denominator_variance: float | None = None
    denominator_covariance: float | None = None
    covariate_mean: float | None = None
    covariate_variance: float | None = None
    covariate_covariance: float | None = None

    def sample(self, kind: MetricKind) -> Sample:
        """The mean and the variance of one unit. Of a ratio: of its linearised form (Deng et al. 2018)."""
        if kind is not MetricKind.RATIO:
            return Sample(self.n, self.mean, self.variance)
        from tea_tasting.aggr import Aggregates

        if self.mean is None or not self.denominator_mean:  # nothing, or nothing below the line
            return Sample(0, None)
        ratio = self.mean / self.denominator_mean
        spread = self.variance, self.denominator_variance, self.denominator_covariance
        if None in spread:
            return Sample(self.n, ratio)
        variance, below, both = (value or 0.0 for value in spread)
        known = Aggregates(
            self.n,
            {"numerator": self.mean, "denominator": self.denominator_mean},
            {"numerator": variance, "denominator": below},
            {("denominator", "numerator"): both},
        )
        return Sample(self.n, ratio, known.ratio_var("numerator", "denominator"))


NOTHING = Moments(0, None)


@dataclass(frozen=True)
class Arms:
    """Units by variant, and what is known by (metric, variant)."""

    units: Mapping[str, int]
    moments: Mapping[tuple[str, str], Moments]

    def of(self, metric: str, variant: str) -> Moments:
        return self.moments.get((metric, variant), NOTHING)

    def has(self, metric: str) -> bool:
        return any(name == metric for name, _ in self.moments)


def aggregate(experiment: Experiment, units: Source) -> Arms:
    """The arms of `units`: a row a unit, `variant` and the columns of metrics. Metrics without one are left out."""
    frame = units.lazy() if isinstance(units, pl.DataFrame) else pl.scan_parquet(_files(units), glob=False)
    columns = frame.collect_schema().names()
    sizes = run_model("ab_sizes", {"units": frame.select("variant").collect()})
    moments: dict[tuple[str, str], Moments] = {}
    for metric in experiment.metrics:
        if metric.source in columns:
            moments |= _moments(metric, frame)
    return Arms(dict(sizes.iter_rows()), moments)


def _files(units: str | Sequence[str]) -> list[str]:
    return [units] if isinstance(units, str) else list(units)


def _moments(metric: Metric, frame: pl.LazyFrame) -> dict[tuple[str, str], Moments]:
    def column(name: str | None, alias: str) -> pl.Expr:
        return (pl.col(name) if name else pl.lit(None)).cast(pl.Float64).alias(alias)

    values = frame.select(
        "variant",
        column(metric.source, "value"),
        column(metric.denominator, "denominator"),
        column(metric.covariate, "covariate"),
    ).collect()
    rows = run_model("ab_statistics", {"units": values}, {"cap": metric.cap}, AB_STATISTICS, float_sums=True)
    return {
        (metric.name, row["variant"]): Moments(**{key: value for key, value in row.items() if key != "variant"})
        for row in rows.iter_rows(named=True)
    }
