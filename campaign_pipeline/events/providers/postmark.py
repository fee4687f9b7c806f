"""Postmark's webhooks: one record a request, our ids in its metadata.

Source: Postmark, Webhooks (bounce, delivery, open, click, spam complaint, subscription change) and its bounce types.
"""

import re
from collections.abc import Iterator

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel, EventType, SuppressionReason
from campaign_pipeline.events.event import Event, attempt_number, message_key
from campaign_pipeline.events.failures import Failure, join
from campaign_pipeline.events.providers.fields import Fields, from_iso, inner, json_object, text
from campaign_pipeline.events.record import Record

TYPES = {
    "Delivery": (EventType.DELIVERED, "DeliveredAt"),
    "Open": (EventType.OPENED, "ReceivedAt"),
    "Click": (EventType.CLICKED, "ReceivedAt"),
    "SpamComplaint": (EventType.COMPLAINED, "BouncedAt"),
    "Bounce": (EventType.UNDELIVERED, "BouncedAt"),  # see BOUNCES
    "SubscriptionChange": (EventType.UNSUBSCRIBED, "ChangedAt"),  # see _subscription
}
"""By RecordType: the type, and the field that holds its time."""

_HARD, _SOFT = SuppressionReason.HARD_BOUNCE, SuppressionReason.SOFT_BOUNCE

BOUNCES: dict[str, tuple[EventType, str, SuppressionReason | None]] = {
    "HardBounce": (EventType.UNDELIVERED, "hard", _HARD),
    "BadEmailAddress": (EventType.FAILED, "hard", _HARD),
    "SoftBounce": (EventType.UNDELIVERED, "soft", _SOFT),
    "DnsError": (EventType.UNDELIVERED, "soft", _SOFT),
    "AddressChange": (EventType.UNDELIVERED, "soft", _SOFT),
    "Unknown": (EventType.UNDELIVERED, "soft", _SOFT),
    "Transient": (EventType.DEFERRED, "soft", None),
    "Blocked": (EventType.UNDELIVERED, "filtered", None),
    "SpamNotification": (EventType.UNDELIVERED, "filtered", None),
    "DMARCPolicy": (EventType.UNDELIVERED, "config", None),
    "VirusNotification": (EventType.UNDELIVERED, "content", None),
    "SMTPApiError": (EventType.FAILED, "content", None),
    "TemplateRenderingFailed": (EventType.FAILED, "content", None),
    "ManuallyDeactivated": (EventType.FAILED, "hard", _HARD),
    "Unsubscribe": (EventType.UNSUBSCRIBED, "", SuppressionReason.UNSUBSCRIBED),
    "SpamComplaint": (EventType.COMPLAINED, "", SuppressionReason.COMPLAINED),
}
"""By bounce type: type, class, suppression. Others (AutoResponder, ChallengeVerification ...) are kept as unknown."""

SUPPRESSED_BECAUSE = {"HardBounce": "HardBounce", "SpamComplaint": "SpamComplaint", "ManualSuppression": "Unsubscribe"}
"""Why Postmark sends there no more, as the bounce type that means the same."""

_TELLS_APART = ("ID", "SuppressSending")

_STATUS = re.compile(r"\b[45]\.\d{1,3}\.\d{1,3}\b")


def events(record: Record) -> Iterator[Event]:
    """The one event of a post."""
    fields = json_object(record.body, "the body")
    record_type = text(fields, "RecordType")
    if not record_type:
        raise InvalidInput("the payload has no RecordType")
    kind, time = TYPES.get(record_type, (EventType.UNKNOWN, ""))
    raw_type, (reason, suppress) = record_type, ("", None)
    if record_type in ("Bounce", "SpamComplaint"):
        kind, (reason, suppress) = _bounce(fields)
        raw_type = f"{record_type}:{text(fields, 'Type')}"
    elif record_type == "SubscriptionChange":
        kind, (reason, suppress) = _subscription(fields)
    metadata = inner(fields, "Metadata")
    run_id, message_id = message_key(metadata.get("run_id"), metadata.get("message_id"))
    sent_as, url = text(fields, "MessageID"), text(fields, "OriginalLink") or None
    said_at = fields.get(time)
    yield Event(
        provider="postmark",
        channel=Channel.EMAIL,
        type=kind,
        raw_type=raw_type,
        occurred_at=record.received_at if said_at is None else from_iso(said_at),
        received_at=record.received_at,
        identity=(sent_as, raw_type, str(said_at), url or "", *(str(fields.get(name)) for name in _TELLS_APART)),
        run_id=run_id,
        message_id=message_id,
        provider_id=sent_as,
        reason=reason,
        url=url,
        attempt=attempt_number(metadata.get("attempt")),
        address=text(fields, "Recipient") or text(fields, "Email"),
        suppress=suppress,
        user_agent=text(fields, "UserAgent") or None,
        ip=text(inner(fields, "Geo"), "IP") or None,
    )


def _bounce(fields: Fields) -> tuple[EventType, Failure]:
    kind, name, suppress = BOUNCES.get(text(fields, "Type"), (EventType.UNKNOWN, "", None))
    status = _STATUS.search(text(fields, "Details"))
    return kind, (join(name, status[0] if status else "") if name else "", suppress)


def _subscription(fields: Fields) -> tuple[EventType, Failure]:
    """Postmark's list of suppressions changed. To be off it again says nothing about our own: nothing is lifted."""
    if fields.get("SuppressSending") is not True:
        return EventType.RESUBSCRIBED, ("", None)
    because = SUPPRESSED_BECAUSE.get(text(fields, "SuppressionReason"), "Unsubscribe")
    kind, name, suppress = BOUNCES[because]
    return kind, (name, suppress)
