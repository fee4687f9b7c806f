"""Results of experiments that were imported."""

from collections.abc import Callable
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.analytics.experiments.design import (
    Correction,
    DecisionMode,
    Experiment,
    Metric,
    MetricKind,
    Rules,
)
from campaign_pipeline.analytics.experiments.results import analyse, rows_of
from campaign_pipeline.analytics.experiments.samples import Arms, Moments
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import experiments


def experiment_results(engine: sa.Engine, lake: Lake, name: str, look: float | None = None) -> pl.DataFrame:
    """Result rows (schemas.AB_RESULTS) of an imported experiment; run_id and day are null.

    `look` is one of those of imported aggregates; None: the last one. NotFound names what there is instead.
    """
    definition = _definition(engine, name)
    _check_there(lake, name)
    if definition.get("form") != "aggregates":
        if look is not None:
            raise NotFound(f"experiment {name!r} has no looks: it was imported from units")
        return analyse(_experiment(name, definition), str(lake.path("experiments", name)))
    table = lake.read("experiments", name)
    looks = table["look"].unique().sort()
    if look is None:
        look = looks[-1]
    elif look not in looks:
        known = ", ".join(f"{value:g}" for value in looks.drop_nulls().tail(20))
        raise NotFound(f"experiment {name!r} has no look {look:g}", f"There are: {known or 'none'}.")
    return _at(name, definition, table, look)


def every_look(engine: sa.Engine, lake: Lake, name: str) -> pl.DataFrame:
    """The same at each look of imported aggregates, in order."""
    definition = _definition(engine, name)
    _check_there(lake, name)
    if definition.get("form") != "aggregates":
        return experiment_results(engine, lake, name)
    table = lake.read("experiments", name)
    return pl.concat([_at(name, definition, table, look) for look in table["look"].unique().sort()])


def _at(name: str, definition: dict[str, Any], table: pl.DataFrame, look: float | None) -> pl.DataFrame:
    """N* is the number of units at the last look, where the import says no other."""
    sizes = table.group_by("look", "variant").agg(pl.col("n").max()).sort("look", "variant", nulls_last=True)
    totals: list[int] = sizes.group_by("look").agg(pl.col("n").sum())["n"].to_list()
    experiment = _experiment(name, definition, look=look, planned_units=max(totals) or None)
    rows = table.filter(pl.col("look").eq_missing(look))
    moments = {
        (row["metric"], row["variant"]): Moments(row["n"], row["mean"], row["variance"])
        for row in rows.iter_rows(named=True)
    }
    units = dict(sizes.filter(pl.col("look").eq_missing(look)).select("variant", "n").iter_rows())
    return rows_of(experiment, Arms(units, moments))


def _experiment(
    name: str, definition: dict[str, Any], *, look: float | None = None, planned_units: int | None = None
) -> Experiment:
    metrics = [Metric(**(metric | {"kind": MetricKind(metric["kind"])})) for metric in definition["metrics"]]
    return Experiment(
        name=name,
        metrics=metrics,
        goal=metrics[0].name,
        control=definition["control"],
        weights=definition["weights"],
        look=look,
        unit=definition["unit"] or "unit",
        rules=_rules({"planned_units": planned_units} | definition.get("rules", {})),
    )


def _rules(given: dict[str, Any]) -> Rules:
    kinds: dict[str, Callable[[Any], Any]] = {"decision": DecisionMode, "correction": Correction}
    read: dict[str, Any] = {key: kinds.get(key, _as_it_is)(value) for key, value in given.items()}
    return Rules(**read)


def _as_it_is(value: Any) -> Any:
    return value


def _definition(engine: sa.Engine, name: str) -> dict[str, Any]:
    with reading(engine) as connection:
        found = connection.execute(sa.select(experiments.c.experiment, experiments.c.definition)).all()
    definitions = {row.experiment: row.definition for row in found}
    if name not in definitions:
        names = ", ".join(sorted(definitions)) or "none"
        raise NotFound(f"experiment {name!r} does not exist", f"There are: {names}. See: campaigns experiments import")
    return definitions[name]


def _check_there(lake: Lake, name: str) -> None:
    if not lake.exists("experiments", name):
        raise NotFound(f"the units of experiment {name!r} are not in the lake", "Import its file again.")
