"""E-mail through SendGrid: one mail/send request for up to 1000 recipients, as the `sendgrid` SDK's client makes it.

What of the SDK is not used, and why: its Mail helper (several `to_emails` end up in one message; `Content`
raises on texts that look like an API key) and its HTTP client (opens a connection and a TLS context a request, follows
a 302 as a GET, has no timeout, keeps one-off headers).
"""

from collections.abc import Container, Mapping, Sequence
from typing import Self

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.channels.base import Batch, Capabilities, Doubt, Finding, Lookup, Result
from campaign_pipeline.dispatch.channels.connection import NoAnswer, NotConnected
from campaign_pipeline.dispatch.channels.sendgrid_codes import kind_of, refused_recipients
from campaign_pipeline.dispatch.channels.sendgrid_logs import look_up
from campaign_pipeline.dispatch.channels.sendgrid_request import MAIL_SEND, request_bodies, request_headers
from campaign_pipeline.dispatch.channels.transport import Answer, Transport
from campaign_pipeline.dispatch.outcomes import HALTING, VERDICTS, Kind
from campaign_pipeline.messages.links import LinkTo, message_urls

CONCURRENCY = 64
"""Requests under way at once: more than there are threads that send."""


class SendGrid:
    name = Channel.EMAIL
    provider = "sendgrid"

    def __init__(self, settings: Settings, *, tracks_clicks: bool = True) -> None:
        self.capabilities = Capabilities(max_batch=1000, lookup=settings.sendgrid_logs)
        self._headers = request_headers(settings.sendgrid_api_key)
        self._clock: Clock = settings.clock
        self._sender = {"email": settings.email_from, "name": settings.email_from_name}
        self._tracks_clicks = tracks_clicks
        self._public_url, self._secret = settings.public_url, settings.link_secret
        self._transport = Transport(
            settings.provider_url(settings.sendgrid_base_url),
            timeout=settings.request_timeout_seconds,
            concurrency=CONCURRENCY,
        )

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._transport.__exit__(*error)

    def send(self, batch: Batch) -> list[Result]:
        results: list[Result] = []
        held = False
        bodies = request_bodies(batch, self._sender, self._unsubscribe_urls, tracks_clicks=self._tracks_clicks)
        for numbers, body in bodies:
            if held:
                results += _all(numbers, Kind.HELD_BACK, "held_back")
                continue
            answered = self._request(numbers, body)
            results += answered
            kinds = {result.kind for result in answered}
            held = any(VERDICTS[kind].action in HALTING or kind == Kind.THROTTLED for kind in kinds)
        return results

    def lookup(self, doubts: Sequence[Doubt], bound: Container[str]) -> list[Lookup]:
        """Our custom arguments name the message: whose an id is besides does not matter."""
        if not self.capabilities.lookup:
            return [Lookup(doubt.message.message_no, doubt.batch.attempt, Finding.INCONCLUSIVE) for doubt in doubts]
        return self._transport.run(look_up(self._transport, self._headers, doubts))

    def _request(self, numbers: Sequence[int], body: bytes) -> list[Result]:
        post = self._transport.request("POST", MAIL_SEND, headers=self._headers, body=body)
        try:
            answer = self._transport.run(post)
        except NotConnected:
            return _all(numbers, Kind.NOT_CONNECTED, "not_connected")
        except NoAnswer:
            return _all(numbers, Kind.NO_ANSWER, "no_answer")
        if not 200 <= answer.status < 300:
            return self._refused(numbers, answer)
        provider_id = answer.headers.get("X-Message-Id", "")
        if answer.status != 202 or not provider_id:
            return _all(numbers, Kind.NO_ANSWER, f"http_{answer.status}")
        return [Result(number, Kind.ACCEPTED, "", provider_id) for number in numbers]

    def _refused(self, numbers: Sequence[int], answer: Answer) -> list[Result]:
        kind, code = kind_of(answer.status), f"http_{answer.status}"
        if kind == Kind.TOO_LARGE and len(numbers) == 1:
            return _all(numbers, Kind.BODY, code)
        if kind == Kind.CONTENT and (blamed := refused_recipients(answer.body)):
            kinds = [Kind.BAD_RECIPIENT if index in blamed else Kind.HELD_BACK for index in range(len(numbers))]
            return [Result(number, kind, code) for number, kind in zip(numbers, kinds, strict=True)]
        wait = self._seconds_to_reset(answer.headers) if kind == Kind.THROTTLED else 0.0
        return [Result(number, kind, code, retry_after=wait) for number in numbers]

    def _seconds_to_reset(self, headers: Mapping[str, str]) -> float:
        """X-RateLimit-Reset is the Unix time at which requests are taken again."""
        reset = headers.get("X-RateLimit-Reset", "")
        return max(0.0, int(reset) - self._clock().timestamp()) if reset.isdecimal() else 0.0

    def _unsubscribe_urls(self, run_id: str, message_ids: Sequence[str]) -> Sequence[str]:
        return list(message_urls(self._public_url, self._secret, LinkTo.UNSUBSCRIBE, run_id, message_ids))


def _all(numbers: Sequence[int], kind: Kind, code: str) -> list[Result]:
    return [Result(number, kind, code) for number in numbers]
