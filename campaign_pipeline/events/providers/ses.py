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

ABOUT_THE_MESSAGE = {"MessageTooLarge": "body", "ContentRejected": "filtered", "AttachmentRejected": "filtered"}
"""Transient bounces that say nothing of the address, by sub type: their class. Nobody is suppressed."""

NO_COMPLAINTS = frozenset({"not-spam", "auth-failure"})
"""Feedback types (RFC 5965, RFC 6591) by which nobody says that the mail is unwanted: the first says the opposite."""

_SNS = re.compile(r"https://sns\.[a-z0-9-]{3,40}\.amazonaws\.com(\.cn)?/[!-~]*$")
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


def subscribe_url(content: str) -> str:
    """The URL by which a person confirms the subscription, if the post asks for that and the URL is Amazon's."""
    try:
        envelope = json_object(content, "the post")
    except InvalidInput:
        return ""
    url = text(envelope, "SubscribeURL") if text(envelope, "Type") == "SubscriptionConfirmation" else ""
    return url if is_of_sns(url) else ""


def is_of_sns(url: str) -> bool:
    """Whether the URL is at SNS, over TLS. Source: Amazon SNS, Verifying the signatures of Amazon SNS messages."""
    return bool(_SNS.match(url))


def _event(record: Record, raw_type: str, mail: Fields, details: Fields, address: str, recipient: Fields) -> Event:
    ids = _ids(mail)
    run_id, message_id = message_key(ids.get(RUN), ids.get(MESSAGE))
    kind, (reason, suppress) = TYPES.get(raw_type, EventType.UNKNOWN), _failure(raw_type, details, recipient)
    if raw_type == "Subscription" and not _all_left(details):
        kind, suppress = EventType.UNKNOWN, None  # topics of SES' own lists, which are none of ours
    elif raw_type == "Complaint" and text(details, "complaintFeedbackType") in NO_COMPLAINTS:
        kind, suppress = EventType.UNKNOWN, None
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
        case "DeliveryDelay":
            return join("soft", _status(recipient)), None
        case _:
            return "", None


def _bounce(details: Fields, recipient: Fields) -> Failure:
    code, sub_type = _status(recipient), text(details, "bounceSubType")
    # One bounce can tell of several recipients, of whom some are only delayed.
    if text(details, "bounceType") == "Permanent" and not code.startswith("4"):
        if sub_type in HARD_SUB_TYPES:
            return join("hard", code), SuppressionReason.HARD_BOUNCE
        reply = _REPLY.search(text(recipient, "diagnosticCode"))
        return of_reply(int(reply[1]) if reply else 550, code)
    if sub_type in ABOUT_THE_MESSAGE:
        return join(ABOUT_THE_MESSAGE[sub_type], code), None
    return join("soft", code), SuppressionReason.SOFT_BOUNCE


def _status(recipient: Fields) -> str:
    """Its enhanced status code; empty if there is none."""
    found = _STATUS.search(text(recipient, "status")) or _STATUS.search(text(recipient, "diagnosticCode"))
    return found[0] if found else ""


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
