"""Messages as signed JSON to a system of ours: one request a batch, under an idempotency key.

The key makes doubt resolvable, if the receiver keeps its side (CAMPAIGN_WEBHOOK_IDEMPOTENT): it answers a key that it
knows as it did the first time, and processes no message id twice. A lookup is then the same request once more.
"""

from collections.abc import Container, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Self
from urllib.parse import urlsplit

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.channels.base import Batch, Capabilities, Doubt, Finding, Lookup, Result
from campaign_pipeline.dispatch.channels.connection import NoAnswer, NotConnected
from campaign_pipeline.dispatch.channels.transport import Answer, Transport
from campaign_pipeline.dispatch.channels.webhook_codes import kind_of
from campaign_pipeline.dispatch.channels.webhook_request import request_body, request_headers, request_key, signing_key
from campaign_pipeline.dispatch.outcomes import Kind

CONCURRENCY = 64
"""Requests under way at once: more than there are threads that send."""

REPEATED_WITHIN = timedelta(hours=24)
"""How long after its claim a request is repeated: receivers do not keep keys for ever."""

REPEATED = "webhook-repeated"
"""Header of a repetition. A receiver that would rather not process what it sees for the first time answers 404."""


class Webhook:
    name = Channel.WEBHOOK
    provider = "webhook"

    def __init__(self, settings: Settings) -> None:
        self._clock: Clock = settings.clock
        self._key = signing_key(settings.webhook_secret)
        self.capabilities = Capabilities(
            max_batch=settings.webhook_batch_size,
            lookup=settings.webhook_idempotent,
            idempotent=settings.webhook_idempotent,
        )
        url = urlsplit(settings.provider_url(settings.webhook_url))
        self._path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._transport = Transport(
            f"{url.scheme}://{url.netloc}", timeout=settings.request_timeout_seconds, concurrency=CONCURRENCY
        )

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._transport.__exit__(*error)

    def send(self, batch: Batch) -> list[Result]:
        try:
            answer = self._post(batch)
        except NotConnected:
            return _all(batch, Kind.NOT_CONNECTED, "not_connected")
        except NoAnswer:
            return _all(batch, Kind.NO_ANSWER, "no_answer")
        kind, code = kind_of(answer.status), f"http_{answer.status}"
        if kind == Kind.ACCEPTED:
            return _all(batch, kind, "", request_key(batch))
        if kind == Kind.TOO_LARGE and len(batch.messages) == 1:
            kind = Kind.BODY
        return _all(batch, kind, code, retry_after=_seconds(answer))

    def lookup(self, doubts: Sequence[Doubt], bound: Container[str]) -> list[Lookup]:
        """Repeat the request of each doubt: what the receiver takes now, or took then, it has once."""
        found: list[Lookup] = []
        for (_, attempt), group in groupby(doubts, key=lambda doubt: (doubt.batch.batch_no, doubt.batch.attempt)):
            together = list(group)
            batch = together[0].batch.only({doubt.message.message_no for doubt in together})
            recent = self._clock() - together[0].claimed_at < REPEATED_WITHIN
            for piece in batch.pieces(self.capabilities.max_batch):
                finding = self._repeat(piece) if recent and self.capabilities.idempotent else Finding.INCONCLUSIVE
                key = request_key(piece) if finding == Finding.FOUND else ""
                found += [Lookup(message.message_no, attempt, finding, key) for message in piece.messages]
        return found

    def _repeat(self, batch: Batch) -> Finding:
        try:
            status = self._post(batch, {REPEATED: "true"}).status
        except (NotConnected, NoAnswer):
            return Finding.INCONCLUSIVE
        if 200 <= status < 300:
            return Finding.FOUND
        return Finding.ABSENT if status == 404 else Finding.INCONCLUSIVE

    def _post(self, batch: Batch, more: dict[str, str] | None = None) -> Answer:
        body = request_body(batch)
        headers = request_headers(self._key, request_key(batch), body, self._clock())
        return self._transport.run(
            self._transport.request("POST", self._path, headers={**headers, **(more or {})}, body=body)
        )


def _seconds(answer: Answer) -> float:
    """Retry-After, where it is a number; a date is not understood."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() and len(text) < 6 else 0.0


def _all(batch: Batch, kind: Kind, code: str, provider_id: str = "", retry_after: float = 0.0) -> list[Result]:
    return [Result(message.message_no, kind, code, provider_id, retry_after) for message in batch.messages]
