"""The mail server of the sandbox: takes every message, writes down who got it, and misbehaves on demand.

A fault is met at MAIL, once a message. Where HTTP has statuses, SMTP has replies: see BEFORE.
"""

import asyncio
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import uuid4

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.channels.smtp_message import ATTEMPT, MESSAGE, RUN
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.faults import Fault, FaultKind, Faults
from campaign_pipeline.sandbox.ground_truth import GroundTruth, Send, address_hash, as_attempt, email_hash, line

BEFORE = {
    FaultKind.THROTTLE_429: "451 4.7.0 Try again later",
    FaultKind.UNAVAILABLE_503: "421 4.3.2 The service is not available",
    FaultKind.UNAUTHORIZED_401: "530 5.7.0 Authentication required",
    FaultKind.REDIRECT_302: "421 4.3.2 Another server is in charge",
}
"""What is said in place of taking a message."""

_NO_REPLY = ""
"""What is said once the connection is gone."""


class SmtpApi:
    """What all connections of one sandbox share."""

    def __init__(self, truth: GroundTruth, faults: Faults, clock: Clock, *, hash_bodies: bool = True) -> None:
        self._truth, self._faults, self._clock, self._hash_bodies = truth, faults, clock, hash_bodies

    def meet(self) -> Fault | None:
        """The fault that the next message runs into."""
        return self._faults.meet("smtp", sending=True)

    def accept(self, envelope: Envelope) -> str:
        """Write down who gets the message; its id in the queue."""
        queued = f"SB{uuid4().hex[:20]}"
        content = envelope.content
        mail = message_from_bytes(content if isinstance(content, bytes) else b"", policy=default)
        lines = [
            line(
                Send(
                    at=self._clock().isoformat(),
                    provider="smtp",
                    channel=Channel.EMAIL.value,
                    message_id=_header(mail, MESSAGE),
                    run_id=_header(mail, RUN),
                    attempt=as_attempt(mail[ATTEMPT]),
                    sid=queued,
                    to_hash=address_hash(address),
                    body_hash=_body_hash(mail) if self._hash_bodies else None,
                )
            )
            for address in envelope.rcpt_tos
        ]
        self._truth.append(b"".join(lines))
        return queued


class _Dialogue:
    """Handler of aiosmtpd for one connection."""

    def __init__(self, api: SmtpApi) -> None:
        self._api = api
        self._fault: Fault | None = None

    async def handle_MAIL(  # noqa: N802  (aiosmtpd calls it so)
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._fault = self._api.meet()
        if self._fault and self._fault.kind in BEFORE:
            if BEFORE[self._fault.kind].startswith("421"):
                asyncio.get_running_loop().call_soon(_close, server)
            return BEFORE[self._fault.kind]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        kind, seconds = (self._fault.kind, self._fault.seconds) if self._fault else (None, 0.0)
        if kind is FaultKind.REFUSE_BEFORE_ACCEPT:
            return _drop(server)
        accepted = f"250 2.0.0 OK: queued as {self._api.accept(envelope)}"
        match kind:
            case FaultKind.ACCEPT_THEN_DROP:
                return _drop(server)
            case FaultKind.TRUNCATED_BODY:
                if isinstance(server.transport, asyncio.WriteTransport):
                    server.transport.write(b"250-2.0.0 OK\r\n")
                _close(server)
                return _NO_REPLY
            case FaultKind.MALFORMED | FaultKind.ERROR_500_THOUGH_ACCEPTED:  # a refusal in SMTP is always one
                return "<html><body>OK</body></html>"
            case FaultKind.SLOW:
                await asyncio.sleep(seconds)
                return accepted
            case _:
                return accepted


async def start_smtp(config: SandboxConfig, api: SmtpApi) -> asyncio.Server:
    """Listen on the sandbox's port for mail; InvalidInput if it is taken."""
    password = config.smtp_password.get_secret_value()

    def authenticate(*given: Any) -> AuthResult:
        login = given[-1]
        known = isinstance(login, LoginPassword) and login.password == password.encode()
        return AuthResult(success=known or not password, handled=known or not password)

    def connection() -> SMTP:
        return SMTP(
            _Dialogue(api),
            hostname="sandbox.invalid",
            ident="sandbox",
            auth_require_tls=False,
            authenticator=authenticate,
        )

    try:
        return await asyncio.get_running_loop().create_server(connection, config.host, config.smtp_port)
    except OSError as error:
        raise InvalidInput(
            f"the sandbox cannot take mail on {config.host}:{config.smtp_port}: {error.strerror}",
            "Choose another port: CAMPAIGN_SMTP_PORT.",
        ) from None


def _header(mail: Any, name: str) -> str | None:
    value = mail[name]
    return None if value is None else str(value)


def _body_hash(mail: Any) -> str:
    parts: list[str] = []
    if isinstance(mail, EmailMessage):
        found = (mail.get_body((kind,)) for kind in ("plain", "html"))
        texts = (part.get_content() for part in found if part is not None)
        parts = [text.replace("\r\n", "\n").removesuffix("\n") for text in texts]  # as it was before it became MIME
    return email_hash(str(mail["Subject"] or ""), parts)


def _drop(server: SMTP) -> str:
    if isinstance(server.transport, asyncio.WriteTransport):
        server.transport.abort()
    return _NO_REPLY


def _close(server: SMTP) -> None:
    if server.transport is not None:
        server.transport.close()
