"""Taking a webhook's post, without a framework: read, verify, keep durably, answer. What it says is parsed later.

Nothing of a body, an address or a token is logged, and nothing that is refused is kept.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from campaign_pipeline.core.errors import CampaignError, InvalidInput, Refused
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.inbox import Inbox, InboxFull
from campaign_pipeline.web.metrics import Metrics
from campaign_pipeline.web.webhooks import WEBHOOKS, Answer, Webhook

RETRY_SECONDS = 5
LOG_SECONDS = 60.0
"""A provider's refusals for a reason are logged once in this time: whoever sends garbage must not fill the disk."""

_CLOSE = ((b"connection", b"close"),)  # the rest of the body may never come, or never end
_LATER = ((b"retry-after", b"%d" % RETRY_SECONDS),)

REFUSALS = {
    "malformed": Answer(HTTPStatus.BAD_REQUEST, b"this is not what the provider sends"),
    "unproven": Answer(HTTPStatus.FORBIDDEN, b"refused"),
    "not_a_post": Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"post it", ((b"allow", b"POST"),)),
    "too_slow": Answer(HTTPStatus.REQUEST_TIMEOUT, b"the body came too slowly", _CLOSE),
    "too_large": Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"the body is too large", _CLOSE),
    "too_many": Answer(HTTPStatus.TOO_MANY_REQUESTS, b"come again", _LATER),
    "failed": Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"this failed"),
    # Nothing was kept, or it is not known to be: the provider repeats it, and duplicates do no harm.
    "unavailable": Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"come again", _LATER),
}
"""By reason, as /metrics names it."""

_log = logging.getLogger(__name__)


class _Turned(Exception):
    """Turned away, for a reason of REFUSALS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Gone(Exception):
    """The client went away before its body was complete: there is nobody to answer."""


@dataclass(slots=True)
class _UnderWay:
    """What a provider has under way: its posts, and the bytes of them that are held in memory."""

    posts: int = 0
    held_bytes: int = 0


class Posts:
    """Takes the posts of all WEBHOOKS. A provider that floods is told to come again, and does not starve the others."""

    def __init__(self, settings: Settings, inbox: Inbox, metrics: Metrics) -> None:
        self._settings, self._inbox, self._metrics = settings, inbox, metrics
        self._providers = {webhook.provider: _UnderWay() for webhook in WEBHOOKS.values()}
        self._logged_at: dict[tuple[str, str], float] = {}
        for provider, under_way in self._providers.items():
            metrics.watch(provider, lambda it=under_way: it.posts, lambda it=under_way: it.held_bytes)

    async def take(self, webhook: Webhook, scope: Scope, receive: Receive, send: Send) -> None:
        begun, reason, chunks = time.perf_counter(), "", list[bytes]()
        under_way = self._providers[webhook.provider]
        under_way.posts += 1
        try:
            await self._keep(webhook, scope, receive, chunks)
        except _Gone:
            self._metrics.refused(webhook, "gone")
            return
        except Exception as error:  # noqa: BLE001  (whatever it was, it is refused, and no traceback tells of a body)
            reason = _reason(error)
            self._say_why(webhook.provider, reason, error)
        finally:
            under_way.posts -= 1
            under_way.held_bytes -= sum(map(len, chunks))
        answer = REFUSALS[reason] if reason else webhook.answer
        if reason:
            self._metrics.refused(webhook, reason)
        self._metrics.answered(webhook, scope["path"], answer.status, time.perf_counter() - begun)
        await _send(send, answer)

    async def _keep(self, webhook: Webhook, scope: Scope, receive: Receive, chunks: list[bytes]) -> None:
        """Return when the post is durable; `chunks` is told what of it is held in memory."""
        if scope["method"] != "POST":
            raise _Turned("not_a_post")
        headers = Headers(scope=scope)
        limit = min(webhook.most_bytes or self._settings.receiver_max_bytes, self._settings.receiver_max_bytes)
        if int(headers.get("content-length", 0)) > limit:
            raise _Turned("too_large")
        if self._providers[webhook.provider].posts > self._settings.receiver_requests:
            raise _Turned("too_many")
        try:
            async with asyncio.timeout(self._settings.receiver_body_seconds):
                await self._read(webhook.provider, receive, chunks, limit)
        except TimeoutError:  # not to be taken for one of the disk's, which is an OSError as well
            raise _Turned("too_slow") from None
        body, query = b"".join(chunks), scope["query_string"].decode("latin-1")
        # The URL that was called and signed: ours is another one where a proxy stands in between.
        url = self._settings.public_url.rstrip("/") + scope["path"]
        webhook.verify(headers, f"{url}?{query}" if query else url, body, self._settings)
        fields = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        await self._inbox.append(webhook.provider, webhook.kind, fields, body)
        self._metrics.kept(webhook, len(body))

    async def _read(self, provider: str, receive: Receive, chunks: list[bytes], limit: int) -> None:
        under_way, size, more = self._providers[provider], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise _Turned("too_large")
            if under_way.held_bytes + len(chunk) > self._settings.receiver_waiting_bytes:
                raise _Turned("too_many")
            chunks.append(chunk)
            under_way.held_bytes += len(chunk)
            more = message.get("more_body", False)

    def _say_why(self, provider: str, reason: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._logged_at.get((provider, reason), float("-inf")) < LOG_SECONDS:
            return
        self._logged_at[provider, reason] = now
        if isinstance(error, CampaignError):
            why = f": {error.message}. {error.hint}".rstrip()
        else:  # no message: it may quote what came
            why = "" if isinstance(error, _Turned) else f": {type(error).__name__}"
        _log.warning("a webhook of %s was turned away, %s%s", provider, reason, why)


def _reason(error: Exception) -> str:
    match error:
        case _Turned():
            return error.reason
        case InboxFull() | OSError():
            return "unavailable"
        case Refused():
            return "unproven"
        case InvalidInput():
            return "malformed"
        case _:
            return "failed"


async def _send(send: Send, answer: Answer) -> None:
    headers = [*answer.headers]
    if answer.body and not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    if answer.status is not HTTPStatus.NO_CONTENT:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
