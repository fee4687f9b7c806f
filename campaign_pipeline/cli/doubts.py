"""Messages in doubt: `doubts list|resolve`. What is shown names messages and contacts by their ids only."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from campaign_pipeline.cli.arguments import operator
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.decide import VERDICTS
from campaign_pipeline.operations.doubts import list_doubts
from campaign_pipeline.operations.doubts_shown import ABSENT, by_age, rows_of
from campaign_pipeline.operations.resolving import resolve_doubts

MOST_ROWS = 50

WHAT_HAPPENS = {
    Outcome.ACCEPTED: "Each counts as sent.",
    Outcome.REJECTED: "Each counts as refused, and is not sent again.",
    Outcome.NOT_SENT: "Each may be sent again at once; whoever has got it after all gets it twice.",
}


class ListByDefault(TyperGroup):
    """`doubts CAMPAIGN` is `doubts list CAMPAIGN`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        named = bool(args) and args[0] in self.commands
        return super().resolve_command(ctx, args if named or not args else ["list", *args])


doubts = typer.Typer(
    help="Messages of which nobody knows whether they were sent.", no_args_is_help=True, cls=ListByDefault
)

OfRun = Annotated[str | None, typer.Option("--run", help="One run's only.")]
MessageIds = Annotated[list[str], typer.Argument(metavar="MESSAGE_ID...", help="As `doubts list` shows them.")]
As = Annotated[Outcome, typer.Option("--as", help="accepted, rejected, or not_sent: it may be sent again.")]
Reason = Annotated[str, typer.Option(help="How you know; it is kept with your name.")]
AllOfBatch = Annotated[bool, typer.Option("--all-of-batch", help="Also every other doubt of the same batches.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@doubts.command("list")
def list_all(campaign: str, run: OfRun = None, as_json: AsJson = False) -> None:
    """Show a campaign's messages in doubt: what is known of each, and when and how it is decided.

    The word `list` can be left out.

    Example: campaigns doubts list spring-sale
    """
    installation = open_installation()
    now = installation.clock()
    listed = list_doubts(installation, campaign, run)
    if as_json:
        show_json(
            [
                {
                    "run": one.run.run_id,
                    "on_doubt": one.run.campaign.on_doubt,
                    "doubts": rows_of(one, now),
                    "by_age": by_age(one, now),
                    "resolved": dict(one.resolved.iter_rows()),
                }
                for one in listed
            ]
        )
        return
    if not listed:
        console.print("No message is or was in doubt.")
    for one in listed:
        rows = rows_of(one, now)
        console.print(f"[bold]{one.run.run_id}[/]  {one.run.state}, on_doubt: {one.run.campaign.on_doubt}")
        ages = ", ".join(f"{count:,} {age}" for age, count in by_age(one, now).items())
        console.print(f"  now: {ages or 'no doubt'}")
        resolved = ", ".join(f"{count:,} {how}" for how, count in one.resolved.iter_rows())
        console.print(f"  so far: {resolved or 'none resolved'}")
        if rows:
            _show(rows)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    shown = ("message", "contact", "attempt", "claimed", "code", "asked", "then")
    show_table("", [{name: row[name] for name in shown} for row in rows[:MOST_ROWS]])
    if len(rows) > MOST_ROWS:
        console.print(f"  … and {len(rows) - MOST_ROWS:,} more: --json shows all.")
    if any(row["finding"] == "absent" for row in rows):
        console.print(f"  [dim]{ABSENT}[/]")
    console.print("  [dim]Known better? campaigns doubts resolve CAMPAIGN MESSAGE_ID... --as WHAT --reason WHY[/]")


@doubts.command("resolve")
def resolve(
    campaign: str,
    message_ids: MessageIds,
    verdict: As,
    reason: Reason,
    all_of_batch: AllOfBatch = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Say what became of messages in doubt. Refused where something proves otherwise; a later proof counts more.

    Example: campaigns doubts resolve spring-sale 5f0c62a19be04d3a8d17c2e4 --as accepted --reason "seen at Twilio"
    """
    if verdict not in VERDICTS:
        raise InvalidInput(f"--as {verdict} says nothing of a doubt", f"Say {', '.join(VERDICTS)}.")
    installation = open_installation()
    if not yes:
        if as_json:
            raise Refused("nothing was written down: nobody was asked", "With --json, say so with --yes.")
        rest = " and every other doubt of their batches" if all_of_batch else ""
        question = f"{_messages(len(set(message_ids)))}{rest}: {verdict}. {WHAT_HAPPENS[verdict]} Write that down?"
        if not typer.confirm(question):
            raise Refused("nothing was written down")
    changed = resolve_doubts(
        installation,
        campaign,
        message_ids,
        verdict,
        actor=operator(),
        reason=reason,
        whole_batches=all_of_batch,
    )
    if as_json:
        show_json({"as": verdict, "changed": changed})
        return
    for run_id, count in changed.items():
        console.print(f"{_messages(count)} of {run_id}: {verdict}. {WHAT_HAPPENS[verdict]}")
    console.print("It is in the record of changes, with your name and reason.")


def _messages(count: int) -> str:
    return f"{count:,} message{'s' * (count != 1)}"
