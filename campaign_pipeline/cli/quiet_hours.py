"""Quiet hours: `quiet-hours`."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from campaign_pipeline.campaigns.quiet_hours import as_table, rule_book
from campaign_pipeline.cli.arguments import AsOf, moment
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.contacts.consent import MARKETING
from campaign_pipeline.core.words import Channel
from campaign_pipeline.operations.quiet_hours import hours_of, rules_in_force


def register(app: typer.Typer) -> None:
    app.command("quiet-hours")(quiet_hours)


def quiet_hours(
    contact: Annotated[
        str | None, typer.Argument(help="Contact id, or the contact's id in your own system; absent: the rules.")
    ] = None,
    channel: Annotated[Channel, typer.Option(help="email, sms or whatsapp.")] = Channel.SMS,
    purpose: Annotated[str, typer.Option(help="The campaign's purpose.")] = MARKETING,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Show the quiet hours that are kept on a channel, or when one contact may be sent to.

    Example: campaigns quiet-hours 10042 --channel sms
    """
    installation = open_installation()
    now = moment(as_of, installation.clock())
    if contact is None:
        rules = as_table(rules_in_force(installation, channel, purpose, now))
        if as_json:
            show_json({"version": rule_book().version, "rules": rules})
        elif rules:
            show_table(f"Rules of {rule_book().version} and the team's own, for {purpose} by {channel}", rules)
        else:
            console.print(f"No quiet hours are kept for {purpose} by {channel}.")
        return
    found = hours_of(installation, contact, channel, purpose, now)
    if as_json:
        show_json(asdict(found))
        return
    console.print(f"Contact {found.contact_id}, {purpose} by {channel}")
    console.print(f"  rules    {', '.join(found.rules) or 'none'}")
    console.print(f"  hours    {found.window or 'any time'}", markup=False)
    console.print(f"  allowed  {_when(found.next_allowed, now)}")


def _when(allowed: datetime | None, now: datetime) -> str:
    if allowed is None:
        return "never"
    return f"{'now,' if allowed == now else 'from'} {allowed:%Y-%m-%d %H:%M} UTC"
