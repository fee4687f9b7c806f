"""Setting up: `init`, `apply`, `doctor`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.core.database import current_revision
from campaign_pipeline.core.settings import load_settings
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.doctor import examine
from campaign_pipeline.operations.installation import Installation


def open_installation() -> Installation:
    """The installation that the settings describe, with its database up to date; Refused otherwise."""
    installation = Installation(load_settings())
    installation.require_schema()
    return installation


def init(as_json: AsJson = False) -> None:
    """Make the folders and bring the database up to date.

    Example: campaigns init
    """
    installation = Installation(load_settings())
    installation.initialise()
    revision = current_revision(installation.engine)
    folder = installation.settings.data_dir
    if as_json:
        show_json({"data_dir": folder, "revision": revision})
    else:
        console.print(f"Ready: data in {folder}, database at revision {revision}.")


def apply(
    folder: Annotated[Path, typer.Argument(help="Folder with segments/, templates/ and campaigns/.")],
    as_json: AsJson = False,
) -> None:
    """Check and load campaign, segment and template files; equal ones change nothing.

    Example: campaigns apply data/definitions
    """
    applied = apply_folder(open_installation(), folder)
    if as_json:
        show_json([asdict(each) for each in applied])
        return
    changed = [each for each in applied if each.change != "unchanged"]
    for each in changed:
        console.print(f"{each.change:>9}  {each.kind} {each.name}")
    console.print(f"{len(applied)} definitions: {len(changed)} applied, {len(applied) - len(changed)} unchanged.")


def doctor(as_json: AsJson = False) -> None:
    """Check settings, database, folders and providers, and say what to do.

    Example: campaigns doctor
    """
    findings = examine(Installation(load_settings()))
    if as_json:
        show_json(
            [{"check": each.check, "ok": each.ok, "found": each.found, "advice": each.advice} for each in findings]
        )
    else:
        rows = [
            {"": "ok" if each.ok else "!!", "check": each.check, "found": each.found, "what to do": each.advice}
            for each in findings
        ]
        show_table("doctor", rows)
    if not all(each.ok for each in findings):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    for command in (init, apply, doctor):
        app.command()(command)
