"""Twilio: status callbacks, whose URL carries our message, and inbound messages with their keywords.

Source: Twilio, Message Status Callback and Messaging Webhooks; the keywords are Twilio's
defaults for opting out and in.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

import orjson

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel, EventType, SuppressionReason
from campaign_pipeline.dispatch.channels.twilio_codes import CODES
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.events.event import Event, attempt_number, message_key
from campaign_pipeline.events.failures import failure_of
from campaign_pipeline.events.record import Record

TYPES = {
    "accepted": EventType.QUEUED,
    "scheduled": EventType.SCHEDULED,
    "queued": EventType.QUEUED,
    "sending": EventType.QUEUED,
    "sent": EventType.SENT,
    "delivered": EventType.DELIVERED,
    "partially_delivered": EventType.DELIVERED,
    "read": EventType.READ,
    "undelivered": EventType.UNDELIVERED,
    "failed": EventType.FAILED,
    "canceled": EventType.CANCELLED,
}

KEYWORDS = {
    **dict.fromkeys(("STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "CANCEL", "REVOKE", "OPTOUT"), "stop"),
    **dict.fromkeys(("START", "YES", "UNSTOP"), "start"),
    **dict.fromkeys(("HELP", "INFO"), "help"),
}

KEYWORD_TYPES = {"stop": EventType.UNSUBSCRIBED, "start": EventType.RESUBSCRIBED}
"""Any other reply, HELP among them, is REPLIED."""

_WHATSAPP = "whatsapp:"
_AROUND_A_WORD = re.compile(r"^\W+|\W+$")


def status_events(record: Record) -> Iterator[Event]:
    """The one event of a status callback. It carries no time: it is taken to happen when it is received."""
    fields = _fields(record)
    sid, status = _required(fields, "MessageSid"), fields.get("MessageStatus") or _required(fields, "SmsStatus")
    code = fields.get("ErrorCode", "")
    kind = _kind(code)
    reason, suppress = failure_of(kind, code) if kind else ("", None)
    run_id, message_id = message_key(record.query.get("run_id"), record.query.get("message_id"))
    channel, address = _recipient(fields.get("To", ""))
    yield Event(
        provider="twilio",
        channel=channel,
        type=TYPES.get(status, EventType.UNKNOWN),
        raw_type=status,
        occurred_at=record.received_at,
        received_at=record.received_at,
        identity=("status", sid, status, code),  # no time: a repeated callback arrives later
        run_id=run_id,
        message_id=message_id,
        provider_id=sid,
        reason=reason,
        attempt=attempt_number(record.query.get("attempt")),
        address=address,
        suppress=suppress,
    )


def inbound_events(record: Record) -> Iterator[Event]:
    """The one event of an inbound message. Of its text, which is the contact's own, only the keyword class is kept."""
    fields = _fields(record)
    sid = _required(fields, "MessageSid")
    channel, address = _recipient(_required(fields, "From"))
    keyword = fields.get("OptOutType", "").lower() or keyword_class(fields.get("Body", ""))
    kind = KEYWORD_TYPES.get(keyword, EventType.REPLIED)
    yield Event(
        provider="twilio",
        channel=channel,
        type=kind,
        raw_type="inbound",
        occurred_at=record.received_at,
        received_at=record.received_at,
        identity=("inbound", sid),
        provider_id=sid,
        reason=keyword,
        address=address,
        suppress=SuppressionReason.OPTED_OUT if kind is EventType.UNSUBSCRIBED else None,
        lifts=kind is EventType.RESUBSCRIBED,
    )


def keyword_class(text: str) -> str:
    """stop, start, help, or '' for any other text: the keyword alone, in any case, punctuation around it or not."""
    return KEYWORDS.get(_AROUND_A_WORD.sub("", text).upper(), "")


def _kind(code: str) -> Kind | None:
    """The class of an ErrorCode; None without one. It says more than the status: 30005 comes as `undelivered`."""
    if not code or code == "0":
        return None
    return CODES.get(int(code), Kind.UNKNOWN) if code.isascii() and code.isdigit() else Kind.UNKNOWN


def _fields(record: Record) -> Mapping[str, str]:
    """The form's fields; the JSON object's, where the URL carries the body's digest."""
    if "bodySHA256" not in record.query:
        return dict(parse_qsl(record.body, keep_blank_values=True))
    try:
        data: Any = orjson.loads(record.body)
    except orjson.JSONDecodeError:
        raise InvalidInput("the body is not JSON") from None
    if not isinstance(data, dict):
        raise InvalidInput("the body is not a JSON object")
    return {name: str(value) for name, value in cast("dict[str, Any]", data).items() if value is not None}


def _required(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not value:
        raise InvalidInput(f"the callback has no {name}")
    return value


def _recipient(address: str) -> tuple[Channel, str]:
    if address.startswith(_WHATSAPP):
        return Channel.WHATSAPP, address.removeprefix(_WHATSAPP)
    return Channel.SMS, address
