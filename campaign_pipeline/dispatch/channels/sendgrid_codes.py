"""SendGrid's answers to mail/send, as kinds. https://www.twilio.com/docs/sendgrid/api-reference/mail-send"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from campaign_pipeline.dispatch.outcomes import Kind

STATUSES: dict[int, Kind] = {
    202: Kind.ACCEPTED,
    400: Kind.CONTENT,
    401: Kind.CONFIG,
    403: Kind.CONFIG,
    404: Kind.CONFIG,
    405: Kind.CONFIG,
    413: Kind.TOO_LARGE,
    415: Kind.CONTENT,
    429: Kind.THROTTLED,
}

_RECIPIENT = re.compile(r"personalizations\.(\d+)\.(?:to|substitutions|headers|custom_args)\b")


def kind_of(status: int) -> Kind:
    """The kind of an answer to a whole request; an unknown 4xx refuses it for good, all else is a doubt."""
    if status in STATUSES:
        return STATUSES[status]
    return Kind.UNKNOWN if 400 <= status < 500 and status != 408 else Kind.NO_ANSWER


def refused_recipients(body: bytes) -> set[int]:
    """The personalizations that a 400 blames, if it blames nothing else: [] means the request as a whole.

    One malformed address refuses the whole request; errors name it as `personalizations.17.to.0.email`.
    """
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return set()
    errors: Any = answer.get("errors") if isinstance(answer, Mapping) else None
    if not isinstance(errors, Sequence) or not errors:
        return set()
    fields = [str(error.get("field")) if isinstance(error, Mapping) else "" for error in errors]
    found = [_RECIPIENT.match(field) for field in fields]
    return {int(match[1]) for match in found if match} if all(found) else set()


def x_message_id(sg_message_id: str) -> str:
    """The X-Message-Id that the send was answered with: what stands before `.filter...` or `.recvd...`."""
    for mark in (".filter", ".recvd"):
        before, found, _ = sg_message_id.partition(mark)
        if found:
            return before
    return sg_message_id
