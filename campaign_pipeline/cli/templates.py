"""Templates: `templates explain`."""

from dataclasses import asdict
from textwrap import shorten

import typer

from campaign_pipeline.cli.output import AsJson, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.operations.templates import explain_template

templates = typer.Typer(help="What messages say.", no_args_is_help=True)


@templates.command()
def explain(name: str, as_json: AsJson = False) -> None:
    """Show how each place of a template that differs by contact is rendered, and why: `fallback` is the slow way.

    Example: campaigns templates explain spring_plain
    """
    slots = [asdict(slot) for slot in explain_template(open_installation(), name)]
    if as_json:
        show_json({"template": name, "slots": slots})
        return
    for slot in slots:
        slot["source"] = shorten(slot["source"], 60, placeholder=" ...")
    show_table(f"{name}: from constant (fastest) over native, distinct and loop to fallback (each contact)", slots)
