"""Mailgun's webhooks: one event a request, our ids in its user variables.

Sources: Mailgun, Webhook payloads (JSON with `event-data`), and the older form posts, which some accounts still get.
"""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel, EventType, SuppressionReason
from campaign_pipeline.events.event import Event, attempt_number, message_key
from campaign_pipeline.events.failures import Failure, of_reply
from campaign_pipeline.events.providers.fields import Fields, from_seconds, inner, json_object, text
from campaign_pipeline.events.record import Record

TYPES = {
    "accepted": EventType.QUEUED,
    "delivered": EventType.DELIVERED,
    "failed": EventType.UNDELIVERED,  # severity permanent; temporary: DEFERRED
    "bounced": EventType.UNDELIVERED,
    "dropped": EventType.FAILED,
    "rejected": EventType.FAILED,
    "opened": EventType.OPENED,
    "clicked": EventType.CLICKED,
    "unsubscribed": EventType.UNSUBSCRIBED,
    "complained": EventType.COMPLAINED,
}

REFUSED_BY_MAILGUN: dict[str, Failure] = {
    "605": ("hard:605", SuppressionReason.HARD_BOUNCE),
    "606": ("unsubscribed:606", SuppressionReason.UNSUBSCRIBED),
    "607": ("complained:607", SuppressionReason.COMPLAINED),
}
"""By code: Mailgun knows the address from before, and did not try."""

CONSENT = {"unsubscribed": SuppressionReason.UNSUBSCRIBED, "complained": SuppressionReason.COMPLAINED}

_STATUS = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_REPLY = re.compile(r"\b([45]\d\d)\b")


def events(record: Record) -> Iterator[Event]:
    """The one event of a post."""
    fields, variables = _fields(record.body)
    raw_type = text(fields, "event")
    if not raw_type:
        if "message-headers" in fields:
            raise InvalidInput("this is an inbound mail, not an event: a route of Mailgun's points to the events' URL")
        raise InvalidInput("the payload has no event type")
    reason, suppress = _failure(raw_type, fields)
    kind = TYPES.get(raw_type, EventType.UNKNOWN)
    if raw_type == "failed":
        if text(fields, "severity") == "temporary":
            kind, suppress = EventType.DEFERRED, None
        elif reason.rpartition(":")[2] in REFUSED_BY_MAILGUN:
            kind = EventType.FAILED
    run_id, message_id = message_key(variables.get("run_id"), variables.get("message_id"))
    client = inner(fields, "client-info")
    headers = inner(inner(fields, "message"), "headers")
    sent_as = text(headers, "message-id")
    address, url = text(fields, "recipient"), text(fields, "url") or None
    timestamp = fields.get("timestamp")
    yield Event(
        provider="mailgun",
        channel=Channel.EMAIL,
        type=kind,
        raw_type=raw_type,
        # Older posts can lack the time; what came then is the best that is known.
        occurred_at=record.received_at if timestamp is None else from_seconds(timestamp),
        received_at=record.received_at,
        identity=(message_id or sent_as, address, raw_type, str(timestamp), url or "", text(fields, "id")),
        run_id=run_id,
        message_id=message_id,
        provider_id=sent_as,
        reason=reason,
        url=url,
        machine=bool(client.get("bot")),
        attempt=attempt_number(variables.get("attempt")),
        address=address,
        suppress=suppress,
        user_agent=text(client, "user-agent") or text(fields, "user-agent") or None,
        ip=text(fields, "ip") or None,
    )


def _fields(body: str) -> tuple[Fields, Fields]:
    """(event, user variables). In a form the variables stand among the fields."""
    if not body.lstrip().startswith("{"):
        form = dict(parse_qsl(body, keep_blank_values=True))
        return form, form
    data = json_object(body, "the body")
    if "event-data" not in data:
        return data, data
    event = inner(data, "event-data")
    return event, inner(event, "user-variables")


def _failure(raw_type: str, fields: Fields) -> Failure:
    if raw_type in CONSENT:
        return "", CONSENT[raw_type]
    if raw_type == "rejected":
        return "content", None
    if raw_type not in ("failed", "bounced", "dropped"):
        return "", None
    status = inner(fields, "delivery-status")
    code = str(status.get("code") or fields.get("code") or "")
    said = " ".join((code, text(status, "message"), text(fields, "error")))
    if code in REFUSED_BY_MAILGUN:
        return REFUSED_BY_MAILGUN[code]
    enhanced, reply = _STATUS.search(said), _REPLY.search(said)
    number = int(reply[1]) if reply else 500 if enhanced and enhanced[0].startswith("5") else 400
    return of_reply(number, enhanced[0] if enhanced else "")
