"""Experiments that were run elsewhere: `experiments import`, `experiments results`."""

from pathlib import Path
from typing import Annotated

import typer

from campaign_pipeline.analytics.experiments.external import experiment_results, import_experiment
from campaign_pipeline.analytics.experiments.unit_files import parse_metric
from campaign_pipeline.cli.output import AsJson, console, show_json
from campaign_pipeline.cli.results import show_results
from campaign_pipeline.cli.setup import open_installation

experiments = typer.Typer(help="A/B results of experiments that were run elsewhere.", no_args_is_help=True)


@experiments.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV file, one row a unit.")],
    name: Annotated[str, typer.Option(help="What to call the experiment.")],
    variant: Annotated[str, typer.Option(help="Column with the variant.")],
    control: Annotated[str, typer.Option(help="The variant that the others are compared with.")],
    metric: Annotated[list[str], typer.Option(help="COLUMN or COLUMN:proportion or COLUMN:mean; the first decides.")],
    unit: Annotated[str | None, typer.Option(help="Column that must differ in every row; checked, not kept.")] = None,
    replace: Annotated[bool, typer.Option(help="Take the place of an experiment of this name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take in the units of an experiment; only variant and metrics are kept.

    Example: campaigns experiments import cats.csv --name gates --variant version --control gate_30 --metric retention_7
    """
    installation = open_installation()
    taken = import_experiment(
        installation.engine,
        installation.lake,
        file,
        name=name,
        variant=variant,
        control=control,
        unit=unit,
        metrics=[parse_metric(text) for text in metric],
        at=installation.clock(),
        replace=replace,
    )
    if as_json:
        show_json(taken)
        return
    arms = ", ".join(f"{arm} {units:,}" for arm, units in taken["variants"].items())
    console.print(f"{taken['rows']:,} units: {arms}. See the result: campaigns experiments results {name}")


@experiments.command()
def results(name: str, as_json: AsJson = False) -> None:
    """Show an experiment's results: lift, interval, p-value, sample-ratio check.

    Example: campaigns experiments results gates
    """
    installation = open_installation()
    show_results(experiment_results(installation.engine, installation.lake, name), as_json=as_json)
