"""SMS and WhatsApp through Twilio: one request a message, a bounded number of them at once.

Requests, errors and lookups are the `twilio` SDK's, on our transport. Of its own HTTP clients none is used, and why:
the synchronous one has no timeout and makes one request at a time; the asynchronous one ignores its timeout and, asked
to try again, repeats a request that a 500 answered.
"""

import asyncio
from collections.abc import AsyncIterator, Container, Sequence
from datetime import timedelta
from typing import Any, Self

from twilio.base.exceptions import TwilioException

from campaign_pipeline.core.clock import as_utc
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.channels.base import Batch, Capabilities, Doubt, Finding, Lookup, Result
from campaign_pipeline.dispatch.channels.connection import NoAnswer, NotConnected
from campaign_pipeline.dispatch.channels.transport import Transport
from campaign_pipeline.dispatch.channels.twilio_answer import result_of
from campaign_pipeline.dispatch.channels.twilio_request import create_forms, create_headers, create_path
from campaign_pipeline.dispatch.channels.twilio_sdk import sdk_client
from campaign_pipeline.dispatch.outcomes import HALTING, Kind

LOOKUP_LIMIT = 1000
"""Messages to one address that a lookup reads at most; more is inconclusive."""

CLOCK_SLACK = timedelta(minutes=2)
"""How far the provider's clock may be from ours."""

_UNREADABLE = (ValueError, TypeError, AttributeError)
"""What the SDK raises for a page that does not list messages."""


class Twilio:
    provider = "twilio"

    def __init__(self, name: Channel, settings: Settings) -> None:
        self.name = name
        self.capabilities = Capabilities(max_batch=1000, lookup=True, read_receipts=name == Channel.WHATSAPP)
        self._callback = f"{settings.public_url.rstrip('/')}/webhooks/twilio/status"
        self._prefix = "whatsapp:" if name == Channel.WHATSAPP else ""
        self._from = self._prefix + (settings.whatsapp_from if name == Channel.WHATSAPP else settings.twilio_from)
        self._transport = Transport(
            settings.provider_url(settings.twilio_base_url),
            timeout=settings.request_timeout_seconds,
            concurrency=settings.twilio_concurrency,
        )
        self._client = sdk_client(settings.twilio_account_sid, settings.twilio_auth_token, self._transport)
        self._path, self._headers = create_path(self._client), create_headers(self._client)

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._transport.__exit__(*error)

    def send(self, batch: Batch) -> list[Result]:
        return self._transport.run(self._send(batch))

    def lookup(self, doubts: Sequence[Doubt], bound: Container[str]) -> list[Lookup]:
        return self._transport.run(self._look_up_all(doubts, bound))

    async def _send(self, batch: Batch) -> list[Result]:
        form = create_forms(batch, self._from, self._callback)
        waiting = iter(batch.messages)
        results: list[Result] = []
        held = False  # by an answer that is no better for the next message

        async def send_what_waits() -> None:
            nonlocal held
            for message in waiting:
                async with self._transport.place:
                    if held:
                        results.append(Result(message.message_no, Kind.HELD_BACK, "held_back"))
                        continue
                    result = await self._create(message.message_no, form(message, self._prefix + message.address))
                    results.append(result)
                    held = held or result.action in HALTING or result.kind in (Kind.THROTTLED, Kind.NOT_CONNECTED)

        async with asyncio.TaskGroup() as together:
            for _ in range(min(self._transport.concurrency, len(batch.messages))):
                together.create_task(send_what_waits())
        return sorted(results)

    async def _create(self, message_no: int, form: bytes) -> Result:
        try:
            answer = await self._transport.request("POST", self._path, headers=self._headers, body=form)
        except NotConnected:
            return Result(message_no, Kind.NOT_CONNECTED, "not_connected")
        except NoAnswer:
            return Result(message_no, Kind.NO_ANSWER, "no_answer")
        return result_of(message_no, answer)

    async def _look_up_all(self, doubts: Sequence[Doubt], bound: Container[str]) -> list[Lookup]:
        return await asyncio.gather(*(self._look_up(doubt, bound) for doubt in doubts))

    async def _look_up(self, doubt: Doubt, bound: Container[str]) -> Lookup:
        """List what went to the address since the attempt; the body must match, the SID must be nobody's."""
        body = doubt.batch.texts(doubt.message).get("body")  # absent: Twilio rendered the text, it cannot be compared
        finding, sid = Finding.INCONCLUSIVE, ""
        try:
            async with self._transport.place:
                found = [
                    sent.sid
                    async for sent in self._sent_since(doubt)
                    if sent.sid not in bound and (body is None or sent.body == body)
                ]
        except (TwilioException, NotConnected, NoAnswer, OverflowError, *_UNREADABLE):
            found = None
        if found is not None and len(found) < 2:
            finding, sid = (Finding.FOUND, found[0]) if found else (Finding.ABSENT, "")
        return Lookup(doubt.message.message_no, doubt.batch.attempt, finding, sid)

    async def _sent_since(self, doubt: Doubt) -> AsyncIterator[Any]:
        """Newest first, without a date filter: date_sent is null until a message is sent."""
        since = doubt.claimed_at - CLOCK_SLACK
        listed = await self._client.messages.stream_async(
            to=self._prefix + doubt.message.address, from_=self._from, page_size=100, limit=LOOKUP_LIMIT
        )
        number = 0
        async for sent in listed:
            number += 1
            created = sent.date_created
            if created is None or as_utc(created) < since:
                return
            if number == LOOKUP_LIMIT:
                raise OverflowError("the list was cut")
            if doubt.until is None or as_utc(created) <= doubt.until + CLOCK_SLACK:
                yield sent
