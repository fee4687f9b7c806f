"""Messages: `messages show`."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.operations.messages import MessageAccount, message_account

messages = typer.Typer(help="What was sent to each contact.", no_args_is_help=True)


@messages.command()
def show(
    message_id: Annotated[str, typer.Argument(help="24 digits and letters, as in messages and delivery events.")],
    part: Annotated[
        str | None, typer.Option(help="Print this part only, byte for byte: html, text, subject ...")
    ] = None,
    run: Annotated[str | None, typer.Option(help="The message's run; faster than looking for it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show exactly what one contact was sent, where and when, and what became of it; also months later.

    Example: campaigns messages show 0a1b2c3d4e5f60718293a4b5 --part html > sent.html
    """
    account = message_account(open_installation(), message_id, run)
    parts = dict(account.message.parts)
    if part is not None:
        if part not in parts:
            raise NotFound(f"the message has no part {part!r}", f"Its parts are: {', '.join(parts)}.")
        parts = {part: parts[part]}
    if as_json:
        show_json(_facts(account) | {"parts": parts})
    elif part is not None:
        sys.stdout.write(parts[part])
    else:
        show_table("", [{"what": name, "is": str(value)} for name, value in _facts(account).items() if value != ""])
        for name, text in parts.items():
            console.print(f"\n[bold]{name}[/]")
            console.print(text, markup=False)


def _facts(account: MessageAccount) -> dict[str, object]:
    message = asdict(account.message)
    del message["parts"]
    outcome = {name: getattr(account, name) for name in ("channel", "state", "code", "provider_id", "attempts")}
    return {**message, **outcome, "claimed_at": account.claimed_at}
