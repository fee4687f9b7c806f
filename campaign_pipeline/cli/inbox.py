"""The inbox: `events rejected|replay|bounce|certificate`.

What was set aside is told by place, reason and shape: its content is personal data.
"""

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.hashes import SHA256
from rich.markup import escape as plain

from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.events.sns_certificates import keep
from campaign_pipeline.operations.bounces import MOST_BYTES, take_in_bounce
from campaign_pipeline.operations.rejected import list_rejected, replay

MOST_ROWS = 50

Reason = Annotated[str, typer.Option(help="Only those whose reason has this in it.")]
OfFile = Annotated[
    str,
    typer.Argument(
        metavar="[FILE]", help="Only those of this file, as `events rejected` names it.", show_default=False
    ),
]


def register(events: typer.Typer) -> None:
    events.command("rejected")(show_rejected)
    events.command("replay")(replay_rejected)
    events.command("bounce")(bounce)
    events.command("certificate")(certificate)


def show_rejected(reason: Reason = "", as_json: AsJson = False) -> None:
    """Show what was posted and set aside because nothing could be made of it: how much, from whom, why and where.

    Example: campaigns events rejected
    """
    rows = list_rejected(open_installation(), reason)
    counted = Counter((row.provider, row.reason) for row in rows).most_common()
    counts = [{"provider": provider, "reason": why, "times": times} for (provider, why), times in counted]
    if as_json:
        show_json({"counts": counts, "rejected": [asdict(row) | {"provider": row.provider} for row in rows]})
        return
    if not rows:
        console.print("Nothing was set aside.")
        return
    show_table("set aside", counts)
    shown = [
        {"file": row.file, "byte": row.position, "reason": row.reason, "looks like": row.shape}
        for row in rows[-MOST_ROWS:]
    ]
    show_table(f"the last {len(shown)} of {len(rows)}" if len(rows) > MOST_ROWS else "each", shown)
    for row in rows:
        if row.confirm:
            console.print(plain(f"If you subscribed this address to an SNS topic, open once: {row.confirm}"))
    console.print("After the parser was mended: campaigns events replay")


def replay_rejected(file: OfFile = "", reason: Reason = "", as_json: AsJson = False) -> None:
    """Take in again what was set aside: what is understood now counts, once; the rest is set aside anew.

    The next take-in reads it. An event whose message nobody knows is not replayed: it was understood and kept.

    Example: campaigns events replay --reason "not JSON"
    """
    installation = open_installation()
    if file and not any(file in (row.file, row.kept_in) for row in list_rejected(installation)):
        raise NotFound(f"nothing of a file {file!r} was set aside", "See: campaigns events rejected")
    done = replay(installation, reason, file)
    if as_json:
        show_json(asdict(done))
        return
    console.print(f"{done.lines:,} posts, set aside {done.rejections:,} times, go through the inbox again.")
    if done.kept:
        console.print(f"{done.kept:,} stay: their line in the inbox is gone, or was erased.")


def bounce(
    mail: Annotated[Path, typer.Argument(help="A file with one mail; - reads it from standard input, as a pipe.")],
    as_json: AsJson = False,
) -> None:
    """Take in a bounce mail (RFC 3464), as a mail server hands it over; it is on disk before this returns.

    Example: campaigns events bounce - < bounce.eml
    """
    if str(mail) == "-":
        content = sys.stdin.buffer.read(MOST_BYTES + 1)
    elif mail.is_file():
        content = mail.read_bytes()
    else:
        raise NotFound(f"there is no file {str(mail)!r}", "Give a file with one mail, or - for standard input.")
    named = take_in_bounce(open_installation(), content)
    if as_json:
        show_json({"taken_in": True, "names_a_message": named})
        return
    whose = "its recipient names a message of ours" if named else "its quoted headers have to say which message it is"
    console.print(plain(f"Kept for the next take-in; {whose}."))


def certificate(
    file: Annotated[Path, typer.Argument(help="PEM file, downloaded from the SigningCertURL of a post of Amazon SNS.")],
    as_json: AsJson = False,
) -> None:
    """Keep a certificate by which Amazon SNS signs what it posts about Amazon SES; those whose time is over go.

    Without one such posts are refused: nothing is fetched when they come.

    Example: campaigns events certificate SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem
    """
    if not file.is_file():
        raise NotFound(f"there is no file {str(file)!r}", "Download it from an https://sns.REGION.amazonaws.com URL.")
    installation = open_installation()
    kept = [
        {
            "subject": each.subject.rfc4514_string(),
            "issuer": each.issuer.rfc4514_string(),
            "valid_until": each.not_valid_after_utc,
            "sha256": each.fingerprint(SHA256()).hex(),
        }
        for each in keep(installation.settings.ses_certificates, file.read_bytes(), installation.clock())
    ]
    if as_json:
        show_json({"file": installation.settings.ses_certificates, "kept": kept})
        return
    show_table("kept", kept)
    console.print("Was it downloaded over https from a host that ends in .amazonaws.com? Only then is it SNS'.")
