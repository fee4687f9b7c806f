"""SMS and WhatsApp through Twilio: one request a message, a bounded number of them at once, through the `twilio` SDK.

Each thread has a client and an HTTP session of its own. The StatusCallback URL carries run, message and attempt,
so that a callback proves an attempt whose answer was lost.
"""

import json
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import repeat
from typing import Any, Self
from urllib.parse import urlencode

import requests
from twilio.base.exceptions import TwilioException
from twilio.rest import Client

from campaign_pipeline.core.clock import as_utc
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.channels.base import Batch, Capabilities, Doubt, Finding, Lookup, Message, Result
from campaign_pipeline.dispatch.channels.connection import never_connected
from campaign_pipeline.dispatch.channels.twilio_codes import kind_of
from campaign_pipeline.dispatch.channels.twilio_http import BaseUrlHttpClient
from campaign_pipeline.dispatch.outcomes import HALTING, Kind

LOOKUP_LIMIT = 1000
"""Messages to one address that a lookup reads at most; more is inconclusive."""

CLOCK_SLACK = timedelta(minutes=2)
"""How far the provider's clock may be behind ours."""

_UNREADABLE = (ValueError, TypeError, AttributeError)
"""What the SDK raises for a 2xx whose body is not a message."""


class Twilio:
    provider = "twilio"

    def __init__(self, name: Channel, settings: Settings) -> None:
        self.name = name
        self.capabilities = Capabilities(max_batch=1000, lookup=True, read_receipts=name == Channel.WHATSAPP)
        self._base_url = settings.provider_url(settings.twilio_base_url)
        self._timeout = settings.request_timeout_seconds
        self._account, self._token = settings.twilio_account_sid, settings.twilio_auth_token
        self._callback = f"{settings.public_url.rstrip('/')}/webhooks/twilio/status"
        self._prefix = "whatsapp:" if name == Channel.WHATSAPP else ""
        self._from = self._prefix + (settings.whatsapp_from if name == Channel.WHATSAPP else settings.twilio_from)
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(settings.twilio_concurrency, thread_name_prefix=f"twilio-{name}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def send(self, batch: Batch) -> list[Result]:
        hold = threading.Event()  # set by an answer that is no better for the next message

        def send_one(message: Message) -> Result:
            if hold.is_set():
                return Result(message.message_no, Kind.HELD_BACK, "held_back")
            result = self._create(batch, message)
            if result.action in HALTING or result.kind in (Kind.THROTTLED, Kind.NOT_CONNECTED):
                hold.set()
            return result

        return list(self._pool.map(send_one, batch.messages))

    def lookup(self, doubts: Sequence[Doubt], bound: Container[str]) -> list[Lookup]:
        return list(self._pool.map(self._look_up, doubts, repeat(bound)))

    def _create(self, batch: Batch, message: Message) -> Result:
        client, transport = self._client()
        query = {"run_id": batch.run_id, "message_id": message.message_id, "attempt": batch.attempt}
        try:
            created = client.messages.create(
                to=self._prefix + message.address,
                from_=self._from,
                status_callback=f"{self._callback}?{urlencode(query)}",
                **content(batch.texts(message)),
            )
            sid = created.sid
        except TwilioException as error:
            kind, code = _classify(error)
            wait = transport.retry_after if kind == Kind.THROTTLED else 0.0
            return Result(message.message_no, kind, code, retry_after=wait)
        except requests.RequestException as error:
            if never_connected(error):
                return Result(message.message_no, Kind.NOT_CONNECTED, "not_connected")
            return Result(message.message_no, Kind.NO_ANSWER, "no_answer")
        except _UNREADABLE:
            return Result(message.message_no, Kind.NO_ANSWER, "unreadable")
        if not sid:
            return Result(message.message_no, Kind.NO_ANSWER, "unreadable")
        return Result(message.message_no, Kind.ACCEPTED, "", sid)

    def _look_up(self, doubt: Doubt, bound: Container[str]) -> Lookup:
        """List what went to the address since the attempt; the body must match, the SID must be nobody's."""
        answer = _answer(doubt)
        body = doubt.batch.texts(doubt.message).get("body")  # absent: Twilio rendered the text, it cannot be compared
        try:
            found = [
                sent.sid
                for sent in self._sent_since(doubt)
                if sent.sid not in bound and (body is None or sent.body == body)
            ]
        except (TwilioException, requests.RequestException, OverflowError, *_UNREADABLE):
            return answer(Finding.INCONCLUSIVE, "")
        if not found:
            return answer(Finding.ABSENT, "")
        return answer(Finding.FOUND, found[0]) if len(found) == 1 else answer(Finding.INCONCLUSIVE, "")

    def _sent_since(self, doubt: Doubt) -> Iterator[Any]:
        """Newest first, without a date filter: date_sent is null until a message is sent."""
        client, _ = self._client()
        since = doubt.claimed_at - CLOCK_SLACK
        listed = client.messages.stream(
            to=self._prefix + doubt.message.address, from_=self._from, page_size=100, limit=LOOKUP_LIMIT
        )
        for number, sent in enumerate(listed, start=1):
            created = sent.date_created
            if created is None or as_utc(created) < since:
                return
            if number == LOOKUP_LIMIT:
                raise OverflowError("the list was cut")
            yield sent

    def _client(self) -> tuple[Client, BaseUrlHttpClient]:
        """This thread's client."""
        if not hasattr(self._local, "client"):
            transport = BaseUrlHttpClient(self._base_url, self._timeout)
            client = Client(self._account, self._token.get_secret_value(), http_client=transport)
            self._local.client = client, transport
        return self._local.client


def content(texts: dict[str, str]) -> dict[str, Any]:
    """The content parameters of a message with these parts: a body, or a content template and its variables."""
    if "content_sid" not in texts:
        return {"body": texts["body"]}
    variables = {part.removeprefix("var:"): text for part, text in texts.items() if part.startswith("var:")}
    given = {"content_variables": json.dumps(variables, ensure_ascii=False)} if variables else {}
    return {"content_sid": texts["content_sid"], **given}


def _classify(error: TwilioException) -> tuple[Kind, str]:
    """Some errors are TwilioServiceException, not TwilioRestException: both have a status and a code."""
    status, code = getattr(error, "status", None), getattr(error, "code", None)
    if not isinstance(status, int):
        return Kind.NO_ANSWER, "unreadable"
    number = int(str(code)) if str(code).isdecimal() else None
    return kind_of(status, number), str(number) if number and number != status else f"http_{status}"


def _answer(doubt: Doubt) -> Callable[[Finding, str], Lookup]:
    return lambda finding, sid: Lookup(doubt.message.message_no, doubt.batch.attempt, finding, sid)
