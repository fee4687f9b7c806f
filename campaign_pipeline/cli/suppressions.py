"""Addresses that must not be sent to: `suppressions add|lift|list|import|export`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from campaign_pipeline.cli.arguments import AsOf, moment, operator
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.contacts.suppression import (
    EVERY_CHANNEL,
    EVERY_TOPIC,
    Suppression,
    entries_of,
    lift,
    lift_erased,
    suppress,
    suppression_counts,
)
from campaign_pipeline.contacts.suppression_files import (
    check_scope,
    export_suppressions,
    import_suppressions,
    normalise_address,
)
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.words import SuppressionReason

suppressions = typer.Typer(help="Addresses that must not be sent to.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="E-mail address or phone number.")]
OnChannel = Annotated[str, typer.Option("--channel", help="email, sms, whatsapp, or every.")]
Topic = Annotated[str, typer.Option(help="A purpose of consent, such as newsletter; empty: all.")]
Reason = Annotated[SuppressionReason, typer.Option(help="Why.")]
Until = Annotated[str | None, typer.Option(help="Until when; default: until it is lifted.")]
File = Annotated[Path, typer.Argument(help="CSV file.")]


@suppressions.command("add")
def add(
    address: Address,
    channel: OnChannel = EVERY_CHANNEL,
    topic: Topic = EVERY_TOPIC,
    reason: Reason = SuppressionReason.MANUAL,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Suppress an address: on one channel or every, about one topic or all, for a time or until it is lifted.

    Example: campaigns suppressions add ann@example.com --channel email --topic newsletter --until 2026-06-30
    """
    installation = open_installation()
    now = installation.clock()
    check_scope(channel, topic)
    if reason is SuppressionReason.ERASED:
        raise InvalidInput("reason erased is that of erased contacts", "Erase the contact, or give reason manual.")
    ends = moment(until, now) if until else None
    if ends and ends <= now:
        raise InvalidInput(f"--until {until} has passed", "Give a time to come, or leave it out.")
    plain = normalise_address(address, installation.settings.default_region)
    entry = Suppression(channel, plain, reason, _source("add", reason, now.isoformat()), now, topic, ends)
    with writing(installation.engine) as connection:
        suppress(connection, [entry])
    if as_json:
        show_json({"channel": channel, "topic": topic, "reason": reason, "expires_at": ends})
    else:
        console.print(f"Suppressed: {channel} channel, {topic or 'all topics'}, {reason}.", markup=False)


@suppressions.command("lift")
def lift_suppression(
    address: Address,
    channel: OnChannel = EVERY_CHANNEL,
    topic: Topic = EVERY_TOPIC,
    reason: Reason = SuppressionReason.MANUAL,
    as_json: AsJson = False,
) -> None:
    """End a suppression of just this channel, topic and reason; see `suppressions list ADDRESS` for those there are.

    Example: campaigns suppressions lift ann@example.com --channel email --reason unsubscribed
    """
    installation = open_installation()
    now, settings = installation.clock(), installation.settings
    check_scope(channel, topic)
    plain = normalise_address(address, settings.default_region)
    source = _source("lift", reason, now.isoformat())
    with writing(installation.engine) as connection:
        if reason is SuppressionReason.ERASED:
            lifted = lift_erased(connection, plain, settings.link_secret, source=source, at=now)
        else:
            held = entries_of(connection, plain, now, settings.link_secret)
            same = {"channel": channel, "topic": topic, "reason": reason.value}
            lifted = any(row.items() >= same.items() for row in held.to_dicts())
            if lifted:
                lift(connection, [Suppression(channel, plain, reason, source, now, topic)])
    if not lifted:
        raise NotFound(
            f"the address is not suppressed on {channel} channel for {topic or 'all topics'} with reason {reason}",
            "What there is: campaigns suppressions list ADDRESS",
        )
    if as_json:
        show_json({"channel": channel, "topic": topic, "reason": reason, "lifted": True})
    else:
        console.print(f"Lifted: {channel} channel, {topic or 'all topics'}, {reason}.", markup=False)


@suppressions.command("list")
def list_suppressions(
    address: Annotated[str | None, typer.Argument(help="Show what holds for this address, instead of counts.")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Count what holds by channel, topic and reason; or show what holds for one address.

    Example: campaigns suppressions list ann@example.com
    """
    installation = open_installation()
    now = installation.clock()
    at = moment(as_of, now) if as_of else now
    with reading(installation.engine) as connection:
        if address is None:
            found = suppression_counts(connection, at)
        else:
            plain = normalise_address(address, installation.settings.default_region)
            found = entries_of(connection, plain, at, installation.settings.link_secret)
    if as_json:
        show_json(found)
    else:
        show_table(f"suppressions that hold at {at:%Y-%m-%d %H:%M} UTC", found)


@suppressions.command("import")
def import_file(
    file: File,
    column: Annotated[str, typer.Option(help="Column with the addresses.")] = "address",
    channel: OnChannel = EVERY_CHANNEL,
    topic: Topic = EVERY_TOPIC,
    reason: Reason = SuppressionReason.MANUAL,
    rejects: Annotated[Path | None, typer.Option(help="Where rejected rows go, with line and reason.")] = None,
    as_json: AsJson = False,
) -> None:
    """Suppress the addresses of a CSV file; columns channel, topic, reason and expires_at are read if they are there.

    Example: campaigns suppressions import unsubscribed.csv --column email --channel email --reason unsubscribed
    """
    installation = open_installation()
    settings = installation.settings
    check_scope(channel, topic)
    with writing(installation.engine) as connection:
        result = import_suppressions(
            connection,
            file,
            at=installation.clock(),
            rejects_path=rejects or settings.data_dir / "rejects" / f"{file.stem}-rejects.csv",
            region=settings.default_region,
            column=column,
            channel=channel,
            topic=topic,
            reason=reason,
        )
    if as_json:
        show_json(asdict(result))
        return
    names = ("read", "added", "held", "expired", "rejected")
    show_table("imported", [{name: getattr(result, name) for name in names}])
    if result.rejects_path:
        console.print(f"Rejected rows, with line and reason: {result.rejects_path}", markup=False)


@suppressions.command("export")
def export_file(file: File, as_json: AsJson = False) -> None:
    """Write what holds now as CSV, for another system; erased addresses are not known, and not in it.

    Example: campaigns suppressions export suppressed.csv
    """
    installation = open_installation()
    with reading(installation.engine) as connection:
        rows, erased = export_suppressions(connection, file, installation.clock())
    if as_json:
        show_json({"file": file, "rows": rows, "erased_left_out": erased})
    else:
        left_out = f"; {erased:,} erased addresses are not known, and not in it" if erased else ""
        console.print(f"{rows:,} suppressions in {file}{left_out}.", markup=False)


def _source(what: str, reason: SuppressionReason, when: str) -> str:
    return f"{operator()}:{what}:{reason}:{when}"
