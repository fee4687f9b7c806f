"""E-mail over SMTP: one transaction a message, on a bounded number of connections that are kept.

The protocol has no way to ask what became of a message: only a bounce, or whatever else the recipient's side reports,
settles a doubt. Envelope sender and headers carry our ids for that.
"""

import asyncio
from collections.abc import Container, Sequence
from typing import Self

from campaign_pipeline.contacts.addresses import normalise_email
from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.channels.background import BackgroundLoop
from campaign_pipeline.dispatch.channels.base import Batch, Capabilities, Doubt, Finding, Lookup, Message, Result
from campaign_pipeline.dispatch.channels.connection import NoAnswer, NotConnected
from campaign_pipeline.dispatch.channels.smtp_codes import Stage, code_of, kind_of, queue_id
from campaign_pipeline.dispatch.channels.smtp_connection import NOT_OFFERED, Connections, Lost, Reply
from campaign_pipeline.dispatch.channels.smtp_message import compose, sender_of
from campaign_pipeline.dispatch.channels.verp import bounce_address, bounce_token, require_room
from campaign_pipeline.dispatch.outcomes import HALTING, Kind
from campaign_pipeline.messages.links import LinkTo, message_urls


class Smtp:
    name = Channel.EMAIL
    provider = "smtp"
    capabilities = Capabilities(max_batch=1000)

    def __init__(self, settings: Settings) -> None:
        self._clock: Clock = settings.clock
        self._sender = sender_of(settings.email_from, settings.email_from_name)
        self._bounces = require_room(settings.smtp_bounce_address or settings.email_from)
        self._public_url, self._secret = settings.public_url, settings.link_secret
        self._relay = settings.smtp_relay
        self._connections = Connections(settings, self._sender.domain)
        self._background = BackgroundLoop(f"smtp to {settings.smtp_host}")

    def __enter__(self) -> Self:
        self._background.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._background.stop(self._connections.close())

    def send(self, batch: Batch) -> list[Result]:
        return self._background.run(self._send(batch))

    def lookup(self, doubts: Sequence[Doubt], bound: Container[str]) -> list[Lookup]:
        return [Lookup(doubt.message.message_no, doubt.batch.attempt, Finding.INCONCLUSIVE) for doubt in doubts]

    async def _send(self, batch: Batch) -> list[Result]:
        ids = [message.message_id for message in batch.messages]
        urls = message_urls(self._public_url, self._secret, LinkTo.UNSUBSCRIBE, batch.run_id, ids)
        waiting = zip(batch.messages, urls, strict=True)
        results: list[Result] = []
        held = False  # by an answer that is no better for the next message

        async def send_what_waits() -> None:
            nonlocal held
            for message, url in waiting:
                async with self._connections.place:
                    if held:
                        results.append(Result(message.message_no, Kind.HELD_BACK, "held_back"))
                        continue
                    result, holds = await self._deliver(batch, message, url)
                    results.append(result)
                    held = held or holds

        async with asyncio.TaskGroup() as together:
            for _ in range(min(self._connections.concurrency, len(batch.messages))):
                together.create_task(send_what_waits())
        return sorted(results)

    async def _deliver(self, batch: Batch, message: Message, unsubscribe_url: str) -> tuple[Result, bool]:
        """What became of the message, and whether the next ones would fare alike."""
        number = message.message_no
        if normalise_email(message.address) != message.address:  # nothing else may stand in a header or an envelope
            return Result(number, Kind.BAD_RECIPIENT, "not_an_address"), False
        token = bounce_token(batch.run_id, message.message_id, batch.attempt, self._secret)
        content = compose(batch, message, self._sender, unsubscribe_url, self._clock(), self._relay)
        try:
            reply = await self._connections.deliver(bounce_address(self._bounces, token), message.address, content)
        except Lost:
            return Result(number, Kind.NOT_CONNECTED, "connection_lost"), False
        except NotConnected:
            return Result(number, Kind.NOT_CONNECTED, "not_connected"), True
        except NoAnswer:
            return Result(number, Kind.NO_ANSWER, "no_answer"), False
        return _result(number, reply)


def _result(number: int, reply: Reply) -> tuple[Result, bool]:
    stage, code, text = reply
    if code == NOT_OFFERED:
        return Result(number, Kind.CONFIG, "not_offered"), True
    kind = kind_of(stage, code, text)
    if kind == Kind.ACCEPTED:
        return Result(number, kind, "", queue_id(text)), False
    result = Result(number, kind, code_of(code, text))
    ours = stage in (Stage.CONNECT, Stage.SENDER) or code == 421 or kind == Kind.CAPACITY
    return result, ours or result.action in HALTING
