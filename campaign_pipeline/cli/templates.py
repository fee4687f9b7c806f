"""Templates: `explain`, `check`, `preview`, `sheet` and `send-test`."""

from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import Annotated

import typer

from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.dispatch.outcomes import VERDICTS, Kind
from campaign_pipeline.operations.checks import Checked, check_templates
from campaign_pipeline.operations.previews import write_previews
from campaign_pipeline.operations.send_test import send_test
from campaign_pipeline.operations.sheet import contact_sheet, write_sheet
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


Locale = Annotated[str | None, typer.Option(help="One of the template's languages, such as de.")]
Contact = Annotated[str | None, typer.Option(help="A contact's id, here or in your system; a made-up one if absent.")]


@templates.command()
def preview(
    name: str,
    contact: Contact = None,
    locale: Locale = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the files; data/previews if absent.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write what a template says as files, for a made-up contact in every language or for one that there is.

    Example: campaigns templates preview spring_plain --locale en --out previews
    """
    previews = write_previews(open_installation(), name, out, contact, locale)
    if as_json:
        show_json({"template": name, "previews": [asdict(each) for each in previews]})
        return
    rows = [
        {"locale": each.locale, "part": part, "file": str(file)}
        for each in previews
        for part, file in each.files.items()
    ]
    show_table(name, rows)


@templates.command()
def sheet(
    out: Annotated[Path, typer.Option(help="The HTML file to write.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Templates; all if left out.")] = None,
    campaign: Annotated[str | None, typer.Option(help="The variants of this campaign instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write all variants and languages on one HTML page, side by side: to look at, and to have approved.

    Example: campaigns templates sheet --campaign spring-sale --out sheet.html
    """
    cards = contact_sheet(open_installation(), names or (), campaign)
    title = f"Campaign {campaign}" if campaign else "Templates"
    write_sheet(cards, out, title)
    problems = [each for each in cards if each.problem]
    if as_json:
        show_json({"file": out, "cards": len(cards), "problems": [each.problem for each in problems]})
    else:
        for each in problems:
            console.print(f"{each.variant}, {each.locale}: {each.problem}", markup=False)
        console.print(f"{len(cards)} messages: {out}")
    raise typer.Exit(1 if problems else 0)


@templates.command("send-test")
def send_one(
    name: str,
    to: Annotated[str, typer.Option(help="The address to send to: yours.")],
    contact: Contact = None,
    locale: Locale = None,
    as_json: AsJson = False,
) -> None:
    """Send a template once to an address, to see how it arrives; it is marked, and in no figure.

    Without live sending it goes to the sandbox, as everything does.

    Example: campaigns templates send-test spring_plain --to ann@example.com
    """
    sent = send_test(open_installation(), name, to, contact, locale)
    accepted = sent.result.kind is Kind.ACCEPTED
    if as_json:
        said = {"kind": sent.result.kind, "code": sent.result.code, "provider_id": sent.result.provider_id}
        show_json({"run_id": sent.run_id, "message_id": sent.message_id, "locale": sent.trial.locale, **said})
    elif accepted:
        console.print(f"accepted as {sent.result.provider_id}: {name} in {sent.trial.locale}")
    else:
        console.print(f"{sent.result.kind} ({sent.result.code}): {VERDICTS[sent.result.kind].says}")
    raise typer.Exit(0 if accepted else 1)
