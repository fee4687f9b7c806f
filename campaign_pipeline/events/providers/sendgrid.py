"""SendGrid's event webhook: a JSON array of events, our custom_args flattened into each.

Source: SendGrid, Event Webhook Reference (delivery and engagement events).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import orjson

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel, EventType, SuppressionReason
from campaign_pipeline.dispatch.channels.sendgrid_codes import x_message_id
from campaign_pipeline.events.event import Event, attempt_number, message_key
from campaign_pipeline.events.record import Record

TYPES = {
    "processed": EventType.QUEUED,
    "deferred": EventType.DEFERRED,
    "delivered": EventType.DELIVERED,
    "bounce": EventType.UNDELIVERED,
    "dropped": EventType.FAILED,
    "cancel_drop": EventType.CANCELLED,
    "open": EventType.OPENED,
    "click": EventType.CLICKED,
    "spamreport": EventType.COMPLAINED,
    "unsubscribe": EventType.UNSUBSCRIBED,
    "group_unsubscribe": EventType.UNSUBSCRIBED,
    "group_resubscribe": EventType.RESUBSCRIBED,
}

BOUNCE_CLASSES = {"bounce": "hard", "blocked": "soft"}
"""By the bounce's `type`; without one, by its status code: 5.x.x is permanent (RFC 3463)."""

BOUNCES = {"hard": SuppressionReason.HARD_BOUNCE, "soft": SuppressionReason.SOFT_BOUNCE}

DROP_CLASSES = {
    "invalid": ("hard", SuppressionReason.HARD_BOUNCE),
    "bounced address": ("hard", SuppressionReason.HARD_BOUNCE),
    "unsubscribed address": ("unsubscribed", SuppressionReason.UNSUBSCRIBED),
    "spam reporting address": ("complained", SuppressionReason.COMPLAINED),
}
"""By the drop's `reason`: SendGrid itself will not send there. Any other reason is one of content or account."""

CONSENT = {
    "spamreport": SuppressionReason.COMPLAINED,
    "unsubscribe": SuppressionReason.UNSUBSCRIBED,
    "group_unsubscribe": SuppressionReason.UNSUBSCRIBED,
}


HAVE_READERS = (EventType.OPENED, EventType.CLICKED)
"""Types whose user agent and IP are those of what opened or clicked. With others, `ip` is SendGrid's own."""


def events(record: Record) -> Iterator[Event | tuple[str, str]]:
    """The events of one post; (reason, item) for each item that cannot be understood.

    The reference: bulk.py reads plain posts to the same rows, many at a time.
    """
    try:
        items: Any = orjson.loads(record.body)
    except orjson.JSONDecodeError:
        raise InvalidInput("the body is not JSON") from None
    if not isinstance(items, list):
        raise InvalidInput("the body is not a JSON array")
    for item in cast("list[Any]", items):
        try:
            yield _event(item, record.received_at)
        except InvalidInput as error:
            yield error.message, orjson.dumps(item).decode()


def _event(item: Any, received_at: datetime) -> Event:
    if not isinstance(item, dict):
        raise InvalidInput("the item is not a JSON object")
    fields = cast("dict[str, Any]", item)
    raw_type, sg_message_id = fields.get("event"), _text(fields, "sg_message_id")
    if not isinstance(raw_type, str) or not raw_type:
        raise InvalidInput("the item has no event type")
    run_id, message_id = message_key(fields.get("run_id"), fields.get("message_id"))
    machine = fields.get("sg_machine_open") is True
    kind = TYPES.get(raw_type, EventType.UNKNOWN)
    url = _text(fields, "url") or None
    reason, suppress = _consequence(raw_type, fields)
    # sg_event_id can change between retries: it identifies only what nothing else does.
    subject = (message_id, sg_message_id) if message_id or sg_message_id else ("", _text(fields, "sg_event_id"))
    return Event(
        provider="sendgrid",
        channel=Channel.EMAIL,
        type=kind,
        raw_type=raw_type,
        occurred_at=_moment(fields.get("timestamp")),
        received_at=received_at,
        identity=(*subject, raw_type, str(fields.get("timestamp")), url or "", str(machine)),
        run_id=run_id,
        message_id=message_id,
        provider_id=x_message_id(sg_message_id),
        reason=reason,
        url=url,
        machine=machine,
        # A deferral has an `attempt` of its own, SendGrid's, which hides ours.
        attempt=None if raw_type == "deferred" else attempt_number(fields.get("attempt")),
        address=_text(fields, "email"),
        suppress=suppress,
        user_agent=(_text(fields, "useragent") or None) if kind in HAVE_READERS else None,
        ip=(_text(fields, "ip") or None) if kind in HAVE_READERS else None,
    )


def _consequence(raw_type: str, fields: dict[str, Any]) -> tuple[str, SuppressionReason | None]:
    """(class:code, suppression). The `reason` texts are left out: mail servers quote the address in them."""
    status = _text(fields, "status")
    if raw_type == "bounce":
        by_status = "soft" if status.startswith("4") else "hard"
        kind = BOUNCE_CLASSES.get(_text(fields, "type"), by_status)
        return _join(kind, status), BOUNCES[kind]
    if raw_type == "dropped":
        kind, suppress = DROP_CLASSES.get(_text(fields, "reason").lower(), ("content", None))
        return _join(kind, status), suppress
    return "", CONSENT.get(raw_type)


def _join(kind: str, code: str) -> str:
    return f"{kind}:{code}" if code else kind


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _moment(timestamp: Any) -> datetime:
    try:
        return datetime.fromtimestamp(float(timestamp), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise InvalidInput("the item's timestamp is not a number of seconds") from None
