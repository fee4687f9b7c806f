"""Bounce mails, as a mail server hands them over: into the inbox, with the message that their recipient names."""

from email import message_from_bytes, policy
from email.utils import getaddresses

import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.tables import runs
from campaign_pipeline.dispatch.channels.verp import Bounced, read_bounce_address, run_mark
from campaign_pipeline.events.inbox_files import add_file
from campaign_pipeline.events.record import to_line
from campaign_pipeline.operations.installation import Installation

MOST_BYTES = 10 * 2**20
"""A report quotes a message at most; more is no bounce."""

_RECIPIENTS = ("Delivered-To", "X-Original-To", "Envelope-To", "To")


def take_in_bounce(installation: Installation, mail: bytes) -> bool:
    """Keep the mail, durably, for the next take-in; whether its recipient names a message of ours.

    InvalidInput: it is empty or larger than any bounce.
    """
    if not mail.strip():
        raise InvalidInput("the mail is empty", "Give the whole mail, with its headers.")
    if len(mail) > MOST_BYTES:
        raise InvalidInput(f"the mail has {len(mail)} bytes; a bounce has at most {MOST_BYTES}", "Is it a bounce?")
    settings = installation.settings
    query = _named(installation, mail)
    body = mail if _is_utf8(mail) else mail.decode("latin-1").encode()  # one character a byte: the fields are ASCII
    now = settings.clock()
    add_file(settings.inbox_dir, "smtp", [to_line(now, "smtp", "bounce", query, body)], now)
    return bool(query)


def _named(installation: Installation, mail: bytes) -> dict[str, str]:
    """run_id, message_id and attempt, where a recipient is an envelope sender that we signed, of a run that we know."""
    head = message_from_bytes(mail, policy=policy.compat32)
    values = [str(value) for name in _RECIPIENTS for value in head.get_all(name, [])]
    secret = installation.settings.link_secret
    for _, address in getaddresses(values):
        bounced = read_bounce_address(address, secret)
        if bounced and (run_id := _run(installation, bounced)):
            return {"run_id": run_id, "message_id": bounced.message_id, "attempt": str(bounced.attempt)}
    return {}


def _run(installation: Installation, bounced: Bounced) -> str:
    with reading(installation.engine) as connection:
        known = connection.execute(sa.select(runs.c.run_id)).scalars()
        return next((run_id for run_id in known if run_mark(run_id) == bounced.run_mark), "")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
