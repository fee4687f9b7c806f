"""Connections to the SMTP server, each used for many messages; and one message over one of them.

Up to the moment at which the message itself is written, a connection that breaks proves that nothing was sent: a server
that has not seen the end of a message does not take it. From then on it proves nothing.
"""

import asyncio
import ssl
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from aiosmtplib import SMTP, SMTPException, SMTPResponseException, SMTPStatus

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.settings import Settings, is_loopback
from campaign_pipeline.dispatch.channels.connection import NoAnswer, NotConnected
from campaign_pipeline.dispatch.channels.smtp_codes import Stage

MESSAGES_EACH = 100
"""Messages of one connection: many servers refuse more."""

LAST_REPLY = 4
"""Times the usual patience for the answer to a whole message: servers filter and store it first, and giving up early
makes a doubt (RFC 5321, 4.5.3.2.6)."""

NOT_OFFERED = 0
"""In the place of a code: the server lacks what the settings want of it, STARTTLS or signing in."""

_CLOSES = 421


class Reply(NamedTuple):
    """The answer that decides about a message: `text` is what follows the code."""

    stage: Stage
    code: int
    text: str


class Lost(NotConnected):
    """A connection that was there broke before the message was written."""


class Connections:
    """At most `settings.smtp_concurrency` connections. Used in one event loop; who delivers holds a place meanwhile."""

    def __init__(self, settings: Settings, local_hostname: str) -> None:
        host = settings.provider_host(settings.smtp_host)
        security, password = settings.smtp_security, settings.smtp_password.get_secret_value()
        if settings.smtp_username and security == "none" and not is_loopback(host):
            raise InvalidInput(
                "the SMTP password would be readable on its way", "Set CAMPAIGN_SMTP_SECURITY to starttls or tls."
            )
        self.concurrency = settings.smtp_concurrency
        self.place = asyncio.Semaphore(self.concurrency)
        self._client = partial(
            SMTP,
            hostname=host,
            port=settings.smtp_port,
            username=settings.smtp_username or None,
            password=password or None,
            use_tls=security == "tls",
            start_tls=security == "starttls",
            tls_context=None if security == "none" else ssl.create_default_context(),
            timeout=settings.request_timeout_seconds,
            local_hostname=local_hostname,
        )
        self._timeout = settings.request_timeout_seconds
        self._idle: list[_Connection] = []

    async def deliver(self, sender: str, recipient: str, content: bytes) -> Reply:
        """The reply to one message, sent once.

        Raises NotConnected or Lost if it certainly was not sent, and NoAnswer if it may have been.
        """
        connection = self._idle.pop() if self._idle else _Connection(self._client(), self._timeout)
        try:
            reply = await connection.greet() or await connection.transact(sender, recipient, content)
        except BaseException:
            connection.close()
            raise
        if reply.code == _CLOSES or not connection.usable:
            await connection.quit()
        else:
            self._idle.append(connection)
        return reply

    async def close(self) -> None:
        """Take leave of the server."""
        await asyncio.gather(*(connection.quit() for connection in self._idle))


class _Connection:
    def __init__(self, client: SMTP, timeout: float) -> None:
        self._client, self._timeout = client, timeout
        self._messages = 0

    @property
    def usable(self) -> bool:
        return self._client.is_connected and self._messages < MESSAGES_EACH

    async def greet(self) -> Reply | None:
        """Connect, if that was not done yet; a reply if the server does not let us in."""
        if self._messages:
            return None
        try:
            await self._client.connect()
        except SMTPResponseException as error:
            if error.code == SMTPStatus.invalid_response:
                raise NotConnected("not SMTP") from error
            return Reply(Stage.CONNECT, error.code, error.message)
        except OSError as error:  # aiosmtplib's connection errors and timeouts among them
            raise NotConnected(type(error).__name__) from error
        except SMTPException:
            return Reply(Stage.CONNECT, NOT_OFFERED, "")
        return None

    async def transact(self, sender: str, recipient: str, content: bytes) -> Reply:
        used, self._messages = bool(self._messages), self._messages + 1
        try:
            refused = await self._envelope(sender, recipient)
            if refused:
                if refused.code == _CLOSES and used:
                    raise Lost("closed by the server")  # it has had enough of this connection, not of us
                return refused
        except (SMTPException, OSError) as error:
            raise Lost(type(error).__name__) from error
        try:
            return Reply(Stage.CONTENT, *await self._content(content))
        except (SMTPException, OSError) as error:
            raise NoAnswer(type(error).__name__) from error

    async def _envelope(self, sender: str, recipient: str) -> Reply | None:
        """Everything before the message; a reply if the server does not want it."""
        stage = Stage.SENDER
        try:
            await self._client.mail(sender)
            stage = Stage.RECIPIENT
            await self._client.rcpt(recipient)
            stage = Stage.CONTENT
            code, text = await self._client.execute_command(b"DATA")
        except SMTPResponseException as error:
            code, text = error.code, error.message
        if code == SMTPStatus.start_input and stage == Stage.CONTENT:
            return None
        if code == SMTPStatus.invalid_response or code < 400:
            raise SMTPException("an answer that makes no sense")
        if code != _CLOSES:
            await self._forget()
        return Reply(stage, code, text)

    async def _content(self, content: bytes) -> tuple[int, str]:
        """Write the message and its end (RFC 5321, 4.5.2): the library's own command does not tell before and after."""
        protocol = self._client.protocol
        if protocol is None:
            raise SMTPException("the connection is gone")
        dotted = (b"." if content.startswith(b".") else b"") + content.replace(b"\r\n.", b"\r\n..")
        protocol.write(dotted + (b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"))
        code, text = await protocol.read_response(timeout=LAST_REPLY * self._timeout)
        return code, text

    async def _forget(self) -> None:
        """End a transaction that was begun; a connection on which that fails is given up."""
        try:
            await self._client.rset()
        except (SMTPException, OSError):
            self.close()

    async def quit(self) -> None:
        transport = self._client.transport
        try:
            with suppress(SMTPException, OSError):
                await self._client.quit()
        finally:
            self._end(transport)

    def close(self) -> None:
        self._end(self._client.transport)

    def _end(self, transport: asyncio.BaseTransport | None) -> None:
        self._client.close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()  # at once: TLS's own farewell would outlive the loop
