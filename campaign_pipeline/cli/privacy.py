"""What is held about one contact: `contacts export` and `contacts erase`."""

from dataclasses import asdict
from typing import Annotated

import typer

from campaign_pipeline.cli.arguments import operator
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.errors import Refused
from campaign_pipeline.operations.privacy.erasure import erase_contact
from campaign_pipeline.operations.privacy.export import export_contact, require_person

Identifier = Annotated[str, typer.Argument(metavar="ID", help="Contact id, or the id that your system calls it by.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def register(contacts: typer.Typer) -> None:
    contacts.command()(export)
    contacts.command()(erase)


def export(identifier: Identifier, as_json: AsJson = False) -> None:
    """Print all that is held about a contact as JSON: rows, messages, events, payloads. It is personal data.

    Example: campaigns contacts export 10042 > contact-10042.json
    """
    exported = export_contact(open_installation(), identifier)
    del as_json  # it is JSON in any case
    show_json(exported)


def erase(identifier: Identifier, yes: Yes = False, as_json: AsJson = False) -> None:
    """Erase a contact everywhere, for good. A keyed hash stays, so that its addresses are not sent to again.

    Example: campaigns contacts erase 10042 --yes
    """
    installation = open_installation()
    if not yes:
        if as_json:
            raise Refused("nothing was erased: nobody was asked", "With --json, say so with --yes.")
        person = require_person(installation, identifier)
        if not typer.confirm(f"Erase contact {person.contact_id} everywhere, for good?"):
            raise Refused("nothing was erased")
    erased = erase_contact(installation, identifier, actor=operator())
    if as_json:
        show_json(asdict(erased))
        return
    show_table("erased", [{"where": where, "rows": rows} for where, rows in sorted(erased.stores.items())])
    console.print(f"Contact {erased.contact_id} is erased. The record of it is {erased.erasure}.")
