"""Experiments that were run elsewhere: units from a file in, the same result rows out.

Only the variant and the metrics are kept; unit ids are checked and forgotten. A unit whose value of a metric is
empty is left out of that metric alone (`n` of its rows says so); it still counts in the sample-ratio check.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.analytics.experiments.design import Experiment, Metric, MetricKind
from campaign_pipeline.analytics.experiments.results import analyse
from campaign_pipeline.analytics.experiments.unit_files import MetricColumn, read_texts, typed_metric
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound, Refused
from campaign_pipeline.core.ids import check_name
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import experiments


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
    weights: Mapping[str, float] | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Take the units of CSV `file` in as experiment `name`; its definition, as kept in the database:

    {file, digest, variant, unit, control, weights, metrics: [{name, kind}], rows, variants: {variant: units},
    missing: {metric: units without a value}}. The first metric is the goal; weights of None are equal.

    The same import again changes nothing. InvalidInput: a value that does not fit its metric, a unit that occurs
    twice, a row without variant, an unknown control or column. Refused: `name` holds another import (`replace`).
    """
    check_name("experiment", name)
    _check_columns(variant, unit, metrics)
    columns = [variant, *([unit] if unit else []), *(metric.column for metric in metrics)]
    texts = read_texts(file, list(dict.fromkeys(columns)))
    arms = _arms(file, texts, variant, control)
    if weights is not None and set(weights) != set(arms):
        raise InvalidInput(f"weights are given for {sorted(weights)}, the file has {sorted(arms)}")
    if unit:
        _check_units(file, texts, unit)
    typed = [typed_metric(file, texts, metric) for metric in metrics]
    definition = {
        "file": file.name,
        "digest": hashlib.sha256(file.read_bytes()).hexdigest(),
        "variant": variant,
        "unit": unit,
        "control": control,
        "weights": dict(weights) if weights else None,
        "metrics": [{"name": m.column, "kind": str(kind)} for m, (kind, _) in zip(metrics, typed, strict=True)],
        "rows": texts.height,
        "variants": arms,
        "missing": {m.column: values.null_count() for m, (_, values) in zip(metrics, typed, strict=True)},
    }
    units = pl.DataFrame(
        [texts[variant].alias("variant"), *(v.alias(m.column) for m, (_, v) in zip(metrics, typed, strict=True))]
    )
    with writing(engine) as connection:
        kept = connection.execute(sa.select(experiments.c.definition).where(experiments.c.experiment == name)).scalar()
        if kept == definition and lake.exists("experiments", name):
            return definition
        if kept is not None and kept != definition and not replace:
            raise Refused(
                f"experiment {name!r} holds another import, of {kept['file']}", "Choose another name, or replace it."
            )
        lake.write(units, "experiments", name)
        connection.execute(sa.delete(experiments).where(experiments.c.experiment == name))
        connection.execute(sa.insert(experiments).values(experiment=name, definition=definition, imported_at=at))
    return definition


def experiment_results(engine: sa.Engine, lake: Lake, name: str) -> pl.DataFrame:
    """Result rows (schemas.AB_RESULTS) of an imported experiment; run_id and day are null."""
    with reading(engine) as connection:
        found = connection.execute(sa.select(experiments.c.experiment, experiments.c.definition)).all()
    definitions = {row.experiment: row.definition for row in found}
    if name not in definitions:
        names = ", ".join(sorted(definitions)) or "none"
        raise NotFound(f"experiment {name!r} does not exist", f"There are: {names}. See: campaigns experiments import")
    definition = definitions[name]
    metrics = [Metric(metric["name"], MetricKind(metric["kind"])) for metric in definition["metrics"]]
    experiment = Experiment(
        name=name,
        metrics=metrics,
        goal=metrics[0].name,
        control=definition["control"],
        weights=definition["weights"],
    )
    if not lake.exists("experiments", name):
        raise NotFound(f"the units of experiment {name!r} are not in the lake", "Import its file again.")
    return analyse(experiment, str(lake.path("experiments", name)))


def _check_columns(variant: str, unit: str | None, metrics: Sequence[MetricColumn]) -> None:
    names = [metric.column for metric in metrics]
    if not names:
        raise InvalidInput("no metric is given", "Example: --metric retention_7:proportion")
    for name in names:
        if name in (variant, unit):
            raise InvalidInput(f"column {name!r} cannot be a metric and the variant or unit too")
        if names.count(name) > 1:
            raise InvalidInput(f"metric {name!r} is given twice")
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
