"""Templates: `templates explain`, `templates check`."""

from dataclasses import asdict
from textwrap import shorten
from typing import Annotated

import typer

from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.operations.checks import Checked, check_templates
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


@templates.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Templates; all if left out.")] = None,
    contacts: Annotated[int, typer.Option(min=1, help="Contacts whose messages are read, each template.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong with templates, for a made-up contact and for all real ones; exit code 1 with errors.

    Example: campaigns templates check spring_plain --contacts 500
    """
    checked = check_templates(open_installation(), names or (), contacts)
    errors = sum(each.errors for each in checked)
    if as_json:
        show_json({"errors": errors, "templates": [asdict(each) for each in checked]})
    else:
        for each in checked:
            _show_findings(each)
        findings = sum(len(each.findings) for each in checked)
        console.print(f"{len(checked)} templates: {errors} errors, {findings - errors} warnings.")
    raise typer.Exit(1 if errors else 0)


def _show_findings(checked: Checked) -> None:
    people = f"rendered for {checked.rendered:,} contacts, {checked.looked_at:,} read" if checked.rendered else ""
    console.print(f"[bold]{checked.template}[/] {people or 'for a made-up contact only'}")
    for each in checked.findings:
        console.print(f"  {each.severity:7} {each.check}: {each.says()}", markup=False)
