"""Experiments: `experiments plan`, and those that were run elsewhere: `experiments import`, `experiments results`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from campaign_pipeline.analytics.experiments.external import Options, import_aggregates, import_experiment
from campaign_pipeline.analytics.experiments.imported import every_look, experiment_results
from campaign_pipeline.analytics.experiments.unit_files import parse_metric
from campaign_pipeline.cli.experiment_plans import plan
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.results import show_results
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.errors import InvalidInput

experiments = typer.Typer(help="Plan experiments, and analyse those that were run elsewhere.", no_args_is_help=True)


@experiments.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet file: one row a unit, or aggregates.")],
    name: Annotated[str, typer.Option(help="What to call the experiment.")],
    control: Annotated[str, typer.Option(help="The variant that the others are compared with.")] = "control",
    variant: Annotated[str | None, typer.Option(help="Units: the column with the variant.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN, COLUMN:proportion|mean|revenue or COLUMN/COLUMN:ratio; the first decides."),
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Column that must differ in every row; checked, not kept.")] = None,
    aggregates: Annotated[bool, typer.Option(help="The file has counts, means and variances, not units.")] = False,
    experiment: Annotated[str | None, typer.Option(help="Aggregates: which one, where the file has several.")] = None,
    covariate: Annotated[list[str] | None, typer.Option(help="METRIC=COLUMN from before the start, for CUPED.")] = None,
    cap: Annotated[list[str] | None, typer.Option(help="METRIC=NUMBER: larger values count as this one.")] = None,
    weight: Annotated[list[str] | None, typer.Option(help="VARIANT=NUMBER of each variant; equal if absent.")] = None,
    sequential: Annotated[bool, typer.Option(help="Decide by the sequential figures.")] = False,
    planned_units: Annotated[int | None, typer.Option(min=1, help="N*: units that were planned, all arms.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Level of tests and intervals; 0.05 if absent.")] = None,
    replace: Annotated[bool, typer.Option(help="Take the place of an experiment of this name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take in an experiment: its units, of which only variant and metrics are kept, or aggregates.

    Example: campaigns experiments import cats.csv --name gates --variant version --control gate_30 --metric retention_7
    """
    rules = {"decision": "sequential" if sequential else None, "planned_units": planned_units, "alpha": alpha}
    if alpha is not None and not 0 < alpha < 1:
        raise InvalidInput(f"--alpha must be between 0 and 1, not {alpha:g}")
    options = Options(
        weights=_numbers("weight", weight) or None,
        covariates=dict(_pair("covariate", text) for text in covariate or ()),
        caps=_numbers("cap", cap),
        rules={key: value for key, value in rules.items() if value is not None},
        replace=replace,
    )
    installation = open_installation()
    common: dict[str, Any] = {
        "name": name,
        "control": control,
        "metrics": [parse_metric(text) for text in metric or ()],
        "at": installation.clock(),
        "options": options,
    }
    if aggregates:
        if variant or unit:
            raise InvalidInput("--variant and --unit are for files of units", "Aggregates have a column 'variant'.")
        taken = import_aggregates(installation.engine, installation.lake, file, experiment=experiment, **common)
    else:
        if variant is None:
            raise InvalidInput("--variant is missing: which column has the variant?", "Or say --aggregates.")
        taken = import_experiment(installation.engine, installation.lake, file, variant=variant, unit=unit, **common)
    if as_json:
        show_json(taken)
        return
    arms = ", ".join(f"{arm} {units:,}" for arm, units in taken["variants"].items())
    rows = f"{taken['rows']:,} aggregates at {taken['looks']:,} looks" if aggregates else f"{taken['rows']:,} units"
    console.print(f"{rows}: {arms}. See the result: campaigns experiments results {name}")


@experiments.command()
def results(
    name: str,
    look: Annotated[float | None, typer.Option(help="Aggregates: as of this look; the last one if absent.")] = None,
    looks: Annotated[bool, typer.Option(help="Aggregates: the deciding metric at every look.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show an experiment's results: lift, interval, p-value, sample-ratio check.

    Example: campaigns experiments results gates
    """
    installation = open_installation()
    if not looks:
        show_results(experiment_results(installation.engine, installation.lake, name, look), as_json=as_json)
        return
    rows = every_look(installation.engine, installation.lake, name)
    if as_json:
        show_json(rows)
        return
    columns = ("look", "variant", "n", "absolute", "absolute_low", "absolute_high", "p", "seq_low", "seq_high", "seq_p")
    show_table("", rows.filter(pl.col("is_goal") & ~pl.col("is_control")).select(columns))


def _pair(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.rpartition("=")
    if not (key and equals and value):
        raise InvalidInput(f"--{option} {text!r} is not NAME=VALUE")
    return key, value


def _numbers(option: str, texts: Sequence[str] | None) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts or ():
        key, value = _pair(option, text)
        try:
            found[key] = float(value)
        except ValueError:
            raise InvalidInput(f"--{option} {text!r}: {value!r} is not a number") from None
        if not 0 < found[key] < float("inf"):
            raise InvalidInput(f"--{option} {text!r}: must be more than 0")
    return found


experiments.command()(plan)
