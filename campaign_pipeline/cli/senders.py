"""Senders: `senders list|reopen`."""

from dataclasses import asdict
from typing import Annotated

import typer

from campaign_pipeline.cli.arguments import operator
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.operations.senders import open_breakers, reopen, senders_overview, state_of

senders = typer.Typer(help="How fast senders go, and what is halted.", no_args_is_help=True)


@senders.command("list")
def list_senders(as_json: AsJson = False) -> None:
    """Show each sender: its rate, what it used of today's ceiling, and whether it is halted, why and until when.

    Example: campaigns senders list
    """
    installation = open_installation()
    lines, opened = senders_overview(installation), open_breakers(installation)
    if as_json:
        halted = [{**asdict(breaker), "state": state_of(breaker)} for breaker in opened]
        show_json({"senders": [asdict(line) for line in lines], "halted": halted})
        return
    shown = ("channel", "sender", "domain", "rate", "used_today", "ceiling", "state")
    show_table("senders", [{name: getattr(line, name) for name in shown} for line in lines])
    if opened:
        names = ("subject", "since", "until", "reason")
        show_table("halted", [{name: getattr(each, name) for name in names} for each in opened])
        console.print("Mended? campaigns senders reopen SUBJECT --reason WHY")


@senders.command("reopen")
def reopen_subject(
    subject: Annotated[str, typer.Argument(help="What is halted, as in: campaigns senders list")],
    reason: Annotated[str, typer.Option(help="What was mended; it is kept with the change.")],
    as_json: AsJson = False,
) -> None:
    """Let a channel, sender or country that is halted go again; the runs that wait for it go on.

    Example: campaigns senders reopen channel:email --reason "the API key was renewed"
    """
    reopen(open_installation(), subject, actor=operator(), reason=reason)
    if as_json:
        show_json({"subject": subject, "reopened": True})
    else:
        console.print(f"{subject} may send again.", markup=False)
