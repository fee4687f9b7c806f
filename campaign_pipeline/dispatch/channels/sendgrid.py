"""E-mail through SendGrid: one mail/send request for up to 1000 recipients, through the `sendgrid` SDK's client.

What of the SDK is not used, and why: its Mail helper (several `to_emails` end up in one message; `Content`
raises on texts that look like an API key), its opener (follows a 302 as a GET, builds a TLS context a
request, has no timeout) and its one shared client (it keeps one-off headers: here each thread has its own).
"""

import http.client
import threading
import urllib.request
from collections.abc import Container, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import python_http_client
from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.settings import Settings, is_loopback
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.channels.base import Batch, Capabilities, Doubt, Finding, Lookup, Message, Result
from campaign_pipeline.dispatch.channels.connection import build_opener, never_connected
from campaign_pipeline.dispatch.channels.sendgrid_codes import kind_of, refused_recipients
from campaign_pipeline.dispatch.channels.sendgrid_request import request_bodies
from campaign_pipeline.dispatch.outcomes import HALTING, Kind
from campaign_pipeline.messages.links import unsubscribe_token, unsubscribe_url


class _Client(python_http_client.Client):
    """The SDK's client with an opener of ours, which its hook for tests allows to put in."""

    def __init__(self, opener: urllib.request.OpenerDirector, **options: Any) -> None:
        super().__init__(**options)
        self.opener = opener

    def _build_client(self, name: str | None = None) -> "_Client":
        client = object.__new__(_Client)  # not copy(): the SDK's __setstate__ would share the state
        path: list[str] = vars(self)["_url_path"]
        vars(client).update(vars(self), _url_path=[*path, name] if name else path)
        return client

    def _make_request(self, opener: object, request: urllib.request.Request, timeout: float | None = None) -> Any:
        base: Any = super()
        return base._make_request(self.opener, request, timeout=timeout)


class SendGrid:
    name = Channel.EMAIL
    provider = "sendgrid"
    # Message logs would tell doubts apart, but nobody has tried them on a live account: events settle doubts.
    capabilities = Capabilities(max_batch=1000)

    def __init__(self, settings: Settings, *, tracks_clicks: bool = True) -> None:
        self._host = settings.provider_url(settings.sendgrid_base_url)
        self._key = settings.sendgrid_api_key
        self._timeout = settings.request_timeout_seconds
        self._clock: Clock = settings.clock
        self._sender = {"email": settings.email_from, "name": settings.email_from_name}
        self._tracks_clicks = tracks_clicks
        self._public_url, self._secret = settings.public_url, settings.link_secret
        self._opener = build_opener(proxies=not is_loopback(urlsplit(self._host).hostname or ""))
        self._local = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def send(self, batch: Batch) -> list[Result]:
        results: list[Result] = []
        held = False
        bodies = request_bodies(batch, self._sender, self._unsubscribe, tracks_clicks=self._tracks_clicks)
        for messages, body in bodies:
            if held:
                results += _all(messages, Kind.HELD_BACK, "held_back")
                continue
            answered = self._request(messages, body)
            results += answered
            held = any(result.action in HALTING or result.kind == Kind.THROTTLED for result in answered)
        return results

    def lookup(self, doubts: Sequence[Doubt], bound: Container[str]) -> list[Lookup]:
        return [Lookup(doubt.message.message_no, doubt.batch.attempt, Finding.INCONCLUSIVE) for doubt in doubts]

    def _request(self, messages: Sequence[Message], body: dict[str, Any]) -> list[Result]:
        try:
            response = self._client().mail.send.post(request_body=body)
        except HTTPError as error:
            return self._refused(messages, error)
        except (OSError, http.client.HTTPException) as error:
            if never_connected(error):
                return _all(messages, Kind.NOT_CONNECTED, "not_connected")
            return _all(messages, Kind.NO_ANSWER, "no_answer")
        provider_id = response.headers.get("X-Message-Id") or ""
        if response.status_code != 202 or not provider_id:
            return _all(messages, Kind.NO_ANSWER, f"http_{response.status_code}")
        return [Result(message.message_no, Kind.ACCEPTED, "", provider_id) for message in messages]

    def _refused(self, messages: Sequence[Message], error: HTTPError) -> list[Result]:
        kind, code = kind_of(error.status_code), f"http_{error.status_code}"
        if kind == Kind.TOO_LARGE and len(messages) == 1:
            return _all(messages, Kind.BODY, code)
        if kind == Kind.CONTENT and (blamed := refused_recipients(error.body)):
            kinds = [Kind.BAD_RECIPIENT if index in blamed else Kind.HELD_BACK for index in range(len(messages))]
            return [Result(message.message_no, kind, code) for message, kind in zip(messages, kinds, strict=True)]
        wait = self._seconds_to_reset(error.headers) if kind == Kind.THROTTLED else 0.0
        return [Result(message.message_no, kind, code, retry_after=wait) for message in messages]

    def _seconds_to_reset(self, headers: Any) -> float:
        """X-RateLimit-Reset is the Unix time at which requests are taken again."""
        reset = str(headers.get("X-RateLimit-Reset") or "")
        return max(0.0, int(reset) - self._clock().timestamp()) if reset.isdecimal() else 0.0

    def _unsubscribe(self, run_id: str, message_id: str) -> str:
        return unsubscribe_url(self._public_url, unsubscribe_token(self._secret, run_id, message_id))

    def _client(self) -> Any:
        """This thread's client: its attributes are the URL's path."""
        if not hasattr(self._local, "client"):
            api = SendGridAPIClient(self._key.get_secret_value(), host=self._host)
            headers = api.client.request_headers
            self._local.client = _Client(
                self._opener, host=self._host, request_headers=headers, version=3, timeout=self._timeout
            )
        return self._local.client


def _all(messages: Sequence[Message], kind: Kind, code: str) -> list[Result]:
    return [Result(message.message_no, kind, code) for message in messages]
