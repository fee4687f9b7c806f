"""One request of the webhook channel, signed as Standard Webhooks says (https://www.standardwebhooks.com).

Headers: `webhook-id` and `Idempotency-Key` (the same: a function of run, batch, attempt and message ids, so that a
repetition has the same one), `webhook-timestamp` (Unix seconds), `webhook-signature` (`v1,` and base64 of HMAC-SHA256
over `<id>.<timestamp>.<body>`). Body:

    {"type": "messages", "run_id": .., "campaign": .., "variant": .., "batch_no": 0, "attempt": 1, "messages": [
        {"id": .., "run_id": .., "attempt": 1, "contact": <external id>, "parts": {"body": ..}}, ...]}
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256

import orjson
from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import digest
from campaign_pipeline.dispatch.channels.base import Batch

_PREFIX = "whsec_"


def signing_key(secret: SecretStr) -> bytes:
    """The bytes to sign with. InvalidInput for `whsec_` followed by something that is not base64."""
    text = secret.get_secret_value()
    if not text.startswith(_PREFIX):
        return text.encode()
    try:
        return b64decode(text.removeprefix(_PREFIX), validate=True)
    except ValueError:
        raise InvalidInput(
            "CAMPAIGN_WEBHOOK_SECRET begins with whsec_, but what follows is not base64",
            "Copy it whole from the receiver.",
        ) from None


def signature(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.digest(key, signed, sha256)).decode()


def request_key(batch: Batch) -> str:
    """What names the request, and every repetition of it."""
    named = (batch.run_id, str(batch.batch_no), str(batch.attempt), *(message.message_id for message in batch.messages))
    return f"msg_{digest(*named)}"


def request_body(batch: Batch) -> bytes:
    shared = {"run_id": batch.run_id, "attempt": batch.attempt}
    messages = [
        {"id": message.message_id, **shared, "contact": message.address, "parts": batch.texts(message)}
        for message in batch.messages
    ]
    head = {"type": "messages", **shared, "campaign": batch.campaign, "variant": batch.variant}
    return orjson.dumps({**head, "batch_no": batch.batch_no, "messages": messages})


def request_headers(key: bytes, webhook_id: str, body: bytes, now: datetime) -> Mapping[str, str]:
    timestamp = str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "Idempotency-Key": webhook_id,
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(key, webhook_id, timestamp, body),
    }
