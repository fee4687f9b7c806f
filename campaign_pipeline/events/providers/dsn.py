"""Bounce mails (delivery status notifications, RFC 3464): how e-mails over SMTP fail after they were taken.

Which message it is about: what its envelope sender named (verified when the mail was taken in, see
operations/bounces.py), else the headers of ours that the mail quotes. Whom it is about is never believed of a mail that
anybody may have written: the address that is suppressed is the one that the message went to.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from email import message_from_string, policy
from email.message import Message
from email.parser import HeaderParser
from email.utils import parsedate_to_datetime
from typing import cast

from campaign_pipeline.core.clock import as_utc
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel, EventType, SuppressionReason
from campaign_pipeline.dispatch.channels.smtp_message import ATTEMPT, MESSAGE, RUN
from campaign_pipeline.events.event import Event, attempt_number, message_key
from campaign_pipeline.events.failures import of_reply
from campaign_pipeline.events.record import Record

TYPES = {
    "failed": EventType.UNDELIVERED,
    "delayed": EventType.DEFERRED,
    "delivered": EventType.DELIVERED,
    "relayed": EventType.SENT,
    "expanded": EventType.SENT,
}
"""By action (RFC 3464, 2.3.3)."""

_ACTION = re.compile(r"[a-z-]{1,20}")
"""A comment may stand behind it, and anything in that: the word alone is kept."""
_REPLY = re.compile(r"\b([45]\d\d)[ -]")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_BLANK = re.compile(r"^\s*$", re.MULTILINE)


def bounces(record: Record) -> Iterator[Event]:
    """One event a recipient of the report."""
    mail = message_from_string(record.body, policy=policy.compat32)
    reports = list(_reports(mail))
    if not reports:
        raise InvalidInput("the mail holds no delivery status (RFC 3464)")
    quoted = _quoted(mail)
    named = {name: record.query.get(name) or quoted.get(header, "") for name, header in _IDS.items()}
    run_id, message_id = message_key(named["run_id"], named["message_id"])
    attempt = attempt_number(named["attempt"])
    about = (message_id, str(attempt)) if message_id else (_header(mail, "Message-ID"),)
    for report in reports:
        action, code = _match(_ACTION, report, "Action"), _match(_STATUS, report, "Status")
        said = _header(report, "Diagnostic-Code")
        reason, suppress = _failure(action, code, said)
        occurred_at = _moment(report, "Last-Attempt-Date") or _moment(mail, "Date") or record.received_at
        yield Event(
            provider="smtp",
            channel=Channel.EMAIL,
            type=TYPES.get(action, EventType.UNKNOWN),
            raw_type=action,
            occurred_at=occurred_at,
            received_at=record.received_at,
            # Of one message several delays are told, which differ in their time.
            identity=("dsn", *about, _header(report, "Final-Recipient").lower(), action, code, _written(report, mail)),
            run_id=run_id,
            message_id=message_id,
            provider_id=f"{message_id}.{attempt}" if message_id and attempt else "",
            reason=reason,
            attempt=attempt,
            suppress=suppress if message_id else None,
        )


_IDS = {"run_id": RUN, "message_id": MESSAGE, "attempt": ATTEMPT}


def _failure(action: str, code: str, said: str) -> tuple[str, SuppressionReason | None]:
    if action not in ("failed", "delayed"):
        return "", None
    reply = _REPLY.search(said)
    number = int(reply[1]) if reply else 450 if code.startswith("4") else 550
    reason, suppress = of_reply(number, code)
    return reason, suppress if action == "failed" else None


def _reports(mail: Message) -> Iterator[Message]:
    """The fields of each recipient, in all parts that hold a delivery status. Some senders write them as plain text."""
    for part in mail.walk():
        if part.get_content_type() != "message/delivery-status":
            continue
        payload = part.get_payload()
        blocks = payload if isinstance(payload, list) else _blocks(str(payload))
        yield from (block for block in cast("list[Message]", blocks) if block["Action"] and block["Final-Recipient"])


def _blocks(text: str) -> list[Message]:
    return [HeaderParser().parsestr(block.lstrip()) for block in _BLANK.split(text)]


def _quoted(mail: Message) -> Mapping[str, str]:
    """The headers of the message that came back."""
    for part in mail.walk():
        kind = part.get_content_type()
        payload = part.get_payload()
        if kind == "message/rfc822" and isinstance(payload, list) and payload:
            original = cast("list[Message]", payload)[0]
        elif kind == "text/rfc822-headers":
            original = HeaderParser().parsestr(str(payload).lstrip())
        else:
            continue
        return {name: _header(original, name) for name in _IDS.values()}
    return {}


def _match(pattern: re.Pattern[str], part: Message, name: str) -> str:
    found = pattern.search(_header(part, name).lower())
    return found[0] if found else ""


def _written(report: Message, mail: Message) -> str:
    """The time as the report, else the mail, writes it."""
    return _header(report, "Last-Attempt-Date") or _header(mail, "Date")


def _header(part: Message, name: str) -> str:
    return str(part.get(name) or "").strip()


def _moment(part: Message, name: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(_header(part, name))
        return as_utc(moment) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
