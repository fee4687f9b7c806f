"""Amazon SES by way of SNS: an envelope with one event, about one or more recipients.

Sources: Amazon SES, Contents of Amazon SNS notifications, and Event publishing. Our ids are in the mail's headers or
tags. A request to confirm a subscription is set aside for a person, who opens its SubscribeURL: nothing is fetched.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel, EventType, SuppressionReason
from campaign_pipeline.dispatch.channels.smtp_message import ATTEMPT, MESSAGE, RUN
from campaign_pipeline.events.event import Event, attempt_number, message_key
from campaign_pipeline.events.failures import Failure, join, of_reply
from campaign_pipeline.events.providers.fields import Fields, from_iso, inner, json_object, objects, text
from campaign_pipeline.events.record import Record

TYPES = {
    "Send": EventType.QUEUED,
    "Delivery": EventType.DELIVERED,
    "DeliveryDelay": EventType.DEFERRED,
    "Bounce": EventType.UNDELIVERED,
    "Complaint": EventType.COMPLAINED,
    "Reject": EventType.FAILED,
    "Rendering Failure": EventType.FAILED,
    "Open": EventType.OPENED,
    "Click": EventType.CLICKED,
    "Subscription": EventType.UNSUBSCRIBED,
}

DETAILS = {
    "Send": "send",
    "Delivery": "delivery",
    "DeliveryDelay": "deliveryDelay",
    "Bounce": "bounce",
    "Complaint": "complaint",
    "Reject": "reject",
    "Rendering Failure": "failure",
    "Open": "open",
    "Click": "click",
    "Subscription": "subscription",
}
"""By type: the object that tells more."""

RECIPIENTS = {"Bounce": "bouncedRecipients", "Complaint": "complainedRecipients", "DeliveryDelay": "delayedRecipients"}
"""By type: the list of those whom it is about; of other types it is the mail's destination."""

HARD_SUB_TYPES = frozenset({"General", "NoEmail", "Suppressed", "OnAccountSuppressionList"})
"""Of permanent bounces."""

_REPLY = re.compile(r"\b([45]\d\d)\b")
_STATUS = re.compile(r"\b[45]\.\d{1,3}\.\d{1,3}\b")


def events(record: Record) -> Iterator[Event | tuple[str, str]]:
    """The events of one post, one a recipient."""
    envelope = json_object(record.body, "the body")
    if text(envelope, "Type") in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        yield "Amazon asks for a confirmation: open the SubscribeURL in it once", record.body
        return
    # With raw message delivery the envelope is left out; it carries the signature, so that such posts are refused.
    message = json_object(text(envelope, "Message"), "the message in the envelope")
    raw_type = text(message, "eventType") or text(message, "notificationType")
    if not raw_type:
        raise InvalidInput("the message has no eventType")
    mail, details = inner(message, "mail"), inner(message, DETAILS.get(raw_type, ""))
    listed = [(text(each, "emailAddress"), each) for each in objects(details, RECIPIENTS.get(raw_type, ""))]
    for address, recipient in listed or [(address, {}) for address in _destination(mail)]:
        yield _event(record, raw_type, mail, details, address, recipient)


def _event(record: Record, raw_type: str, mail: Fields, details: Fields, address: str, recipient: Fields) -> Event:
    ids = _ids(mail)
    run_id, message_id = message_key(ids.get(RUN), ids.get(MESSAGE))
    kind, (reason, suppress) = TYPES.get(raw_type, EventType.UNKNOWN), _failure(raw_type, details, recipient)
    if raw_type == "Subscription" and not _all_left(details):
        kind, suppress = EventType.UNKNOWN, None  # topics of SES' own lists, which are none of ours
    sent_as, url = text(mail, "messageId"), text(details, "link") or None
    said_at = details.get("timestamp") or mail.get("timestamp")
    return Event(
        provider="ses",
        channel=Channel.EMAIL,
        type=kind,
        raw_type=raw_type,
        occurred_at=from_iso(said_at),
        received_at=record.received_at,
        identity=(sent_as, raw_type, address, str(said_at), url or "", text(details, "feedbackId")),
        run_id=run_id,
        message_id=message_id,
        provider_id=sent_as,
        reason=reason,
        url=url,
        attempt=attempt_number(ids.get(ATTEMPT)),
        address=address,
        suppress=suppress,
        user_agent=(text(details, "userAgent") or None) if url or kind is EventType.OPENED else None,
        ip=(text(details, "ipAddress") or None) if url or kind is EventType.OPENED else None,
    )


def _failure(raw_type: str, details: Fields, recipient: Fields) -> Failure:
    match raw_type:
        case "Complaint":
            return "", SuppressionReason.COMPLAINED
        case "Subscription":
            return "", SuppressionReason.UNSUBSCRIBED
        case "Reject" | "Rendering Failure":
            return "content", None
        case "Bounce":
            return _bounce(details, recipient)
        case _:
            return "", None


def _bounce(details: Fields, recipient: Fields) -> Failure:
    said = text(recipient, "diagnosticCode")
    reply, status = _REPLY.search(said), _STATUS.search(text(recipient, "status")) or _STATUS.search(said)
    code = status[0] if status else ""
    if text(details, "bounceType") == "Permanent":
        if text(details, "bounceSubType") in HARD_SUB_TYPES:
            return join("hard", code), SuppressionReason.HARD_BOUNCE
        return of_reply(int(reply[1]) if reply else 550, code)
    return join("soft", code), SuppressionReason.SOFT_BOUNCE


def _destination(mail: Fields) -> list[str]:
    listed = mail.get("destination")
    found = [str(each) for each in cast("list[Any]", listed)] if isinstance(listed, list) else []
    return found or [""]


def _ids(mail: Fields) -> dict[str, str]:
    """Our ids, out of the headers (where the topic includes them) or the tags."""
    headers = {text(each, "name"): text(each, "value") for each in objects(mail, "headers")}
    tags = inner(mail, "tags")
    for header, tag in ((RUN, "run_id"), (MESSAGE, "message_id"), (ATTEMPT, "attempt")):
        values = tags.get(tag)
        if header not in headers and isinstance(values, list) and values:
            headers[header] = str(cast("list[Any]", values)[0])
    return headers


def _all_left(details: Fields) -> bool:
    return inner(details, "newTopicPreferences").get("unsubscribeAll") is True
