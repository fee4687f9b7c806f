"""The receiver of signed webhooks: verifies, processes what it has not seen, and writes down what it processed.

With `webhook_idempotent` it keeps the side of a receiver that says so: a key that it knows is answered as it was the
first time, and no message id is processed twice, also after a restart. Without, whatever comes is processed.
"""

import hmac
from collections.abc import Mapping
from typing import Any

import orjson

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.channels.webhook_request import signature, signing_key
from campaign_pipeline.sandbox.answers import Answer, json_answer
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.ground_truth import GroundTruth, Send, address_hash, line, read_sends, text_hash

TOLERANCE_SECONDS = 300
"""How old, or how far ahead, a timestamp may be: Standard Webhooks leaves it to the receiver."""


class WebhookApi:
    def __init__(self, truth: GroundTruth, config: SandboxConfig, clock: Clock) -> None:
        self._truth, self._clock = truth, clock
        self._idempotent = config.webhook_idempotent
        self._key = signing_key(config.webhook_secret)
        known = read_sends(config.folder).filter(provider="webhook")
        self._ids = set(known["message_id"].drop_nulls())

    def receive(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Process the messages of a request; `headers` by name in any case."""
        webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not self._signed(webhook_id, timestamp, headers.get("webhook-signature", ""), body):
            return json_answer(401, {"error": "the signature does not fit"})
        try:
            messages: list[dict[str, Any]] = orjson.loads(body)["messages"]
            lines = [self._line(message, webhook_id) for message in messages if self._is_new(message["id"])]
        except (ValueError, KeyError, TypeError, AttributeError):
            return json_answer(400, {"error": "the body is not one of a request with messages"})
        if lines:
            self._truth.append(b"".join(lines))
        self._ids.update(message["id"] for message in messages)
        return json_answer(200, {"id": webhook_id, "messages": len(messages)})

    def reset(self) -> None:
        self._ids.clear()

    def _is_new(self, message_id: str) -> bool:
        return not self._idempotent or message_id not in self._ids

    def _signed(self, webhook_id: str, timestamp: str, given: str, body: bytes) -> bool:
        if not self._key:
            return True
        recent = timestamp.isdecimal() and abs(int(timestamp) - self._clock().timestamp()) <= TOLERANCE_SECONDS
        expected = signature(self._key, webhook_id, timestamp, body)
        return recent and any(hmac.compare_digest(expected, each) for each in given.split())

    def _line(self, message: dict[str, Any], webhook_id: str) -> bytes:
        return line(
            Send(
                at=self._clock().isoformat(),
                provider="webhook",
                channel=Channel.WEBHOOK.value,
                message_id=message["id"],
                run_id=message["run_id"],
                attempt=message["attempt"],
                sid=webhook_id,
                to_hash=address_hash(message["contact"]),
                body_hash=text_hash(message["parts"]["body"]),
            )
        )
