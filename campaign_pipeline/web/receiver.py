"""The event receiver: verify, keep durably, answer. What the events mean is found out later (events/ingest.py).

Nothing of a body, an address or a token is logged, and nothing that is refused is kept.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from campaign_pipeline.contacts.opt_in import read_confirmation_token
from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.inbox import Inbox, InboxFull
from campaign_pipeline.events.verification import (
    SENDGRID_SIGNATURE,
    SENDGRID_TIMESTAMP,
    TWILIO_SIGNATURE,
    verify_sendgrid,
    verify_twilio,
)
from campaign_pipeline.messages.links import read_unsubscribe_token
from campaign_pipeline.web.links import MessageLinks
from campaign_pipeline.web.media import media_route
from campaign_pipeline.web.metrics import CountRequests, Metrics
from campaign_pipeline.web.pages import confirm_consent_page, confirm_page, confirmed_page, done_page, error_page

SENDGRID_BYTES = 4 * 2**20
"""SendGrid posts up to some thousand events at once."""
TWILIO_BYTES = 64 * 2**10
UNSUBSCRIBE_BYTES = 4 * 2**10

EMPTY_TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""Twilio answers the contact with nothing."""


def create_app(settings: Settings, inbox: Inbox) -> Starlette:
    """The application. It starts `inbox` when it starts, and closes it when it ends."""
    receiver, metrics = _Receiver(settings, inbox), Metrics(inbox)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        inbox.start()
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(inbox.close)

    async def show_metrics(_request: Request) -> Response:
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[
            Route("/webhooks/sendgrid", receiver.sendgrid, methods=["POST"], max_body_size=SENDGRID_BYTES),
            Route("/webhooks/twilio/status", receiver.twilio_status, methods=["POST"], max_body_size=TWILIO_BYTES),
            Route("/webhooks/twilio/inbound", receiver.twilio_inbound, methods=["POST"], max_body_size=TWILIO_BYTES),
            Route("/u/{token}", receiver.ask, methods=["GET"]),
            Route("/u/{token}", receiver.unsubscribe, methods=["POST"], max_body_size=UNSUBSCRIBE_BYTES),
            *MessageLinks(settings, inbox).routes(),
            media_route(settings.media_folder),
            Route("/c/{token}", receiver.ask_to_confirm, methods=["GET"]),
            Route("/c/{token}", receiver.confirm, methods=["POST"], max_body_size=UNSUBSCRIBE_BYTES),
            Route("/healthz", receiver.health, methods=["GET"]),
            Route("/metrics", show_metrics, methods=["GET"]),
        ],
        middleware=[Middleware(CountRequests, metrics=metrics)],
        exception_handlers={InboxFull: _come_again, OSError: _come_again, Refused: _forbidden, InvalidInput: _no_link},
        lifespan=lifespan,
    )


class _Receiver:
    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self._settings, self._inbox = settings, inbox

    async def sendgrid(self, request: Request) -> Response:
        body, headers = await request.body(), request.headers
        verify_sendgrid(
            self._settings.sendgrid_public_key,
            headers.get(SENDGRID_SIGNATURE),
            headers.get(SENDGRID_TIMESTAMP),
            body,
            self._settings.clock(),
        )
        await self._inbox.append("sendgrid", "events", {}, body)
        return Response(status_code=HTTPStatus.ACCEPTED)

    async def twilio_status(self, request: Request) -> Response:
        await self._keep_twilio(request, "status")
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def twilio_inbound(self, request: Request) -> Response:
        await self._keep_twilio(request, "inbound")
        return Response(EMPTY_TWIML, media_type="text/xml")

    async def ask(self, request: Request) -> Response:
        self._message(request)
        return confirm_page()

    async def unsubscribe(self, request: Request) -> Response:
        """By the button, or by the mail program's one click (RFC 8058): the POST itself is the request."""
        run_id, message_id = self._message(request)
        body = await request.body()
        # The message and not the token is kept: the secret may change before this is read.
        await self._inbox.append("own", "unsubscribe", {"run_id": run_id, "message_id": message_id}, body)
        return done_page()

    async def ask_to_confirm(self, request: Request) -> Response:
        self._consent(request)
        return confirm_consent_page()

    async def confirm(self, request: Request) -> Response:
        """By the button only: scanners and previews follow links, and must not consent for anybody."""
        contact_id, consent_id = self._consent(request)
        kept = {"contact_id": contact_id, "consent_id": str(consent_id)}
        if request.client:
            kept["ip"] = request.client.host  # the proxy's X-Forwarded-For, where it stands on this machine
        await self._inbox.append("own", "confirm", kept, b"")
        return confirmed_page()

    async def health(self, _request: Request) -> Response:
        if self._inbox.is_running:
            return PlainTextResponse("ok")
        return PlainTextResponse("the inbox is not being written", HTTPStatus.SERVICE_UNAVAILABLE)

    async def _keep_twilio(self, request: Request, kind: str) -> None:
        body = await request.body()
        token = self._settings.twilio_auth_token.get_secret_value()
        verify_twilio(token, self._public_url(request), request.headers.get(TWILIO_SIGNATURE), body)
        await self._inbox.append("twilio", kind, dict(request.query_params), body)

    def _public_url(self, request: Request) -> str:
        """The URL that Twilio called and signed: ours is another one where a proxy stands in between."""
        query = request.scope["query_string"].decode("latin-1")
        url = self._settings.public_url.rstrip("/") + request.url.path
        return f"{url}?{query}" if query else url

    def _consent(self, request: Request) -> tuple[str, int]:
        return read_confirmation_token(self._settings.link_secret, request.path_params["token"])

    def _message(self, request: Request) -> tuple[str, str]:
        return read_unsubscribe_token(self._settings.link_secret, request.path_params["token"])


async def _forbidden(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("refused", HTTPStatus.FORBIDDEN)


async def _no_link(_request: Request, _error: Exception) -> Response:
    message = "This link is not complete. Please copy it whole from the message, or answer the message."
    return error_page("This link does not work", message, HTTPStatus.NOT_FOUND)


async def _come_again(_request: Request, _error: Exception) -> Response:
    """Nothing was kept, or it is not known to be: the provider repeats it, and duplicates do no harm."""
    return PlainTextResponse("come again", HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"})
