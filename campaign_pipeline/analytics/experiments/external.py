"""Experiments that were run elsewhere: units or aggregates from a file in, the same result rows out.

Only the variant and the metrics are kept; unit ids are checked and forgotten. A unit whose value of a metric is
empty is left out of that metric alone (`n` of its rows says so); it still counts in the sample-ratio check.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.analytics.experiments.aggregate_files import read_aggregates
from campaign_pipeline.analytics.experiments.design import MetricKind
from campaign_pipeline.analytics.experiments.unit_files import MetricColumn, read_texts, typed_metric
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.core.ids import check_name
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import experiments


@dataclass(frozen=True)
class Options:
    """What may be said of an import beside its columns; the names of metrics are those of the definition.

    `weights` of the variants, on any scale (None: equal); `covariates` and `caps` by metric; `rules`: fields of
    design.Rules that differ from their defaults; `replace` another import of this name.
    """

    weights: Mapping[str, float] | None = None
    covariates: Mapping[str, str] = field(default_factory=lambda: {})
    caps: Mapping[str, float] = field(default_factory=lambda: {})
    rules: Mapping[str, Any] = field(default_factory=lambda: {})
    replace: bool = False


def import_experiment(
    engine: sa.Engine,
    lake: Lake,
    file: Path,
    *,
    name: str,
    variant: str,
    control: str,
    metrics: Sequence[MetricColumn],
    at: datetime,
    unit: str | None = None,
    options: Options | None = None,
) -> dict[str, Any]:
    """Take the units of the CSV or Parquet `file` in as experiment `name`; its definition, as kept in the database:

    {file, digest, variant, unit, control, weights, metrics: [{name, kind, ...}], rows, variants: {variant: units},
    missing: {metric: units without a value}, ...}. The first metric is the goal.

    The same import again changes nothing. InvalidInput: a value that does not fit its metric, a unit that occurs
    twice, a row without variant, an unknown control or column. Refused: `name` holds another import (`replace`).
    """
    check_name("experiment", name)
    options = options or Options()
    _check_columns(variant, unit, metrics)
    beside = [_beside(metric, options) for metric in metrics]
    _check_named(options, [metric.name for metric in metrics])
    extra = list(dict.fromkeys(column for columns in beside for column in columns.values() if isinstance(column, str)))
    columns = [variant, *([unit] if unit else []), *(metric.column for metric in metrics), *extra]
    texts = read_texts(file, list(dict.fromkeys(columns)))
    arms = _arms(file, texts, variant, control)
    _check_weights(options, arms)
    if unit:
        _check_units(file, texts, unit)
    typed = {metric.name: typed_metric(file, texts, metric) for metric in metrics}
    values = {metric.column: typed[metric.name][1] for metric in metrics}
    for column in extra:
        values.setdefault(column, _full(file, texts, column))
    definition = {
        "file": file.name,
        "digest": hashlib.sha256(file.read_bytes()).hexdigest(),
        "variant": variant,
        "unit": unit,
        "control": control,
        "weights": dict(options.weights) if options.weights else None,
        "metrics": [
            {"name": metric.name, "kind": str(typed[metric.name][0]), **more}
            for metric, more in zip(metrics, beside, strict=True)
        ],
        "rows": texts.height,
        "variants": arms,
        "missing": {metric.name: typed[metric.name][1].null_count() for metric in metrics},
        **({"rules": dict(options.rules)} if options.rules else {}),
    }
    units = pl.DataFrame([texts[variant].alias("variant"), *(series.alias(name) for name, series in values.items())])
    return _keep(engine, lake, name, definition, units, at, replace=options.replace)


def import_aggregates(
    engine: sa.Engine,
    lake: Lake,
    file: Path,
    *,
    name: str,
    control: str,
    at: datetime,
    metrics: Sequence[MetricColumn] = (),
    experiment: str | None = None,
    options: Options | None = None,
) -> dict[str, Any]:
    """Take the aggregates of `file` (see aggregate_files) in as experiment `name`; its definition as above.

    `metrics` names those that count, the first is the goal; without any, all count, as means. Raises as above.
    """
    check_name("experiment", name)
    options = options or Options()
    table = read_aggregates(file, control=control, experiment=experiment)
    named = list(metrics) or [MetricColumn(metric) for metric in table["metric"].unique().sort()]
    if missing := [metric.column for metric in named if metric.column not in set(table["metric"])]:
        names = ", ".join(table["metric"].unique().sort())
        raise InvalidInput(f"{file.name} has no metric {missing[0]!r}", f"It has: {names}.")
    if odd := [m.name for m in named if m.kind is MetricKind.RATIO]:
        raise InvalidInput(
            f"metric {odd[0]!r}: of a ratio the aggregates are those of its linearised form: give a mean"
        )
    if options.caps or options.covariates:
        raise InvalidInput("caps and covariates need units, not aggregates")
    kinds = {metric.column: metric.kind or MetricKind.MEAN for metric in named}
    shares = [metric for metric, kind in kinds.items() if kind is MetricKind.PROPORTION]
    bad = table.filter(pl.col("metric").is_in(shares) & ~pl.col("mean").is_between(0, 1))
    if bad.height:
        raise InvalidInput(
            f"{file.name}: {bad['metric'][0]}: a mean of {bad['mean'][0]:g} is not a rate between 0 and 1"
        )
    table = table.filter(pl.col("metric").is_in(list(kinds)))
    looks = table["look"].unique().sort()
    last = table.filter(pl.col("look").eq_missing(looks[-1]))
    arms = {
        str(arm): int(units) for arm, units in last.group_by("variant").agg(pl.col("n").max()).sort("variant").rows()
    }
    if control not in arms or len(arms) < 2:
        raise InvalidInput(
            f"{file.name}: there is nothing to compare with {control!r}", f"Variants: {', '.join(arms)}."
        )
    _check_weights(options, dict.fromkeys(table["variant"].unique(), 0))
    definition = {
        "form": "aggregates",
        "file": file.name,
        "digest": hashlib.sha256(file.read_bytes()).hexdigest(),
        "unit": None,
        "control": control,
        "weights": dict(options.weights) if options.weights else None,
        "metrics": [{"name": metric, "kind": str(kind)} for metric, kind in kinds.items()],
        "rows": table.height,
        "variants": arms,
        "looks": looks.len(),
        **({"experiment": experiment} if experiment else {}),
        **({"rules": dict(options.rules)} if options.rules else {}),
    }
    return _keep(engine, lake, name, definition, table, at, replace=options.replace)


def _keep(
    engine: sa.Engine,
    lake: Lake,
    name: str,
    definition: dict[str, Any],
    frame: pl.DataFrame,
    at: datetime,
    *,
    replace: bool,
) -> dict[str, Any]:
    """Write the experiment into lake and database, unless it is there as it is."""
    with writing(engine) as connection:
        kept = connection.execute(sa.select(experiments.c.definition).where(experiments.c.experiment == name)).scalar()
        if kept == definition and lake.exists("experiments", name):
            return definition
        if kept is not None and kept != definition and not replace:
            raise Refused(
                f"experiment {name!r} holds another import, of {kept['file']}", "Choose another name, or replace it."
            )
        lake.write(frame, "experiments", name)
        connection.execute(sa.delete(experiments).where(experiments.c.experiment == name))
        connection.execute(sa.insert(experiments).values(experiment=name, definition=definition, imported_at=at))
    return definition


def _beside(metric: MetricColumn, options: Options) -> dict[str, Any]:
    """What else a metric's definition says: its column, denominator, covariate and cap, where they are."""
    known = {
        "column": metric.column if metric.denominator else None,
        "denominator": metric.denominator,
        "covariate": options.covariates.get(metric.name),
        "cap": options.caps.get(metric.name),
    }
    return {key: value for key, value in known.items() if value is not None}


def _check_named(options: Options, names: Sequence[str]) -> None:
    for what, given in (("covariate", options.covariates), ("cap", options.caps)):
        if unknown := sorted(set(given) - set(names)):
            raise InvalidInput(f"--{what} names {unknown[0]!r}, which is no metric", f"Metrics: {', '.join(names)}.")


def _check_weights(options: Options, arms: Mapping[str, int]) -> None:
    if options.weights is not None and set(options.weights) != set(arms):
        raise InvalidInput(f"weights are given for {sorted(options.weights)}, the file has {sorted(arms)}")


def _full(file: Path, texts: pl.DataFrame, column: str) -> pl.Series:
    """A column that no unit may lack: a denominator or a covariate."""
    empty = texts.filter(pl.col(column).is_null())
    if empty.height:
        raise InvalidInput(
            f"{file.name}:{empty['line'][0]}: {column} is empty ({empty.height} such rows)",
            "A denominator or a covariate must be known of every unit; of who did nothing it is 0.",
        )
    return typed_metric(file, texts, MetricColumn(column, MetricKind.MEAN))[1]


def _check_columns(variant: str, unit: str | None, metrics: Sequence[MetricColumn]) -> None:
    names = [metric.name for metric in metrics]
    if not names:
        raise InvalidInput("no metric is given", "Example: --metric retention_7:proportion")
    for name in names:
        if name in (variant, unit):
            raise InvalidInput(f"column {name!r} cannot be a metric and the variant or unit too")
        if names.count(name) > 1:
            raise InvalidInput(f"metric {name!r} is given twice")
    if twice := {m.column for m in metrics if [other.column for other in metrics].count(m.column) > 1}:
        raise InvalidInput(f"column {sorted(twice)[0]!r} is that of more than one metric")
    if "variant" in names:
        raise InvalidInput("a metric cannot be called 'variant'", "Rename the column in the file.")


def _arms(file: Path, texts: pl.DataFrame, variant: str, control: str) -> dict[str, int]:
    """Units by variant; every row must have one, and the control must be among at least two."""
    without = texts.filter(pl.col(variant).is_null())
    if without.height:
        raise InvalidInput(f"{file.name}:{without['line'][0]}: {variant} is empty ({without.height} such rows)")
    counts = texts[variant].value_counts(sort=False).sort(variant)
    arms = {str(arm): int(count) for arm, count in counts.iter_rows()}
    if control not in arms:
        names = ", ".join(list(arms)[:20]) or "none"
        raise InvalidInput(f"{file.name}: {variant} is never {control!r}", f"It is: {names}.")
    if len(arms) < 2:
        raise InvalidInput(f"{file.name}: {variant} is {control!r} in all rows: there is nothing to compare")
    return arms


def _check_units(file: Path, texts: pl.DataFrame, unit: str) -> None:
    bad = texts.filter(pl.col(unit).is_null() | pl.col(unit).is_duplicated())
    if bad.height:  # the value may be personal: the lines are named, not the unit
        lines = ", ".join(str(line) for line in bad["line"].head(5))
        raise InvalidInput(
            f"{file.name}: {unit} is empty or not unique in {bad.height} rows (lines {lines} ...)",
            "One row is one unit: sum or pick one before importing.",
        )
