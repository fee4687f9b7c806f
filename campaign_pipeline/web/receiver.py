"""The event receiver: webhooks of the providers, what the links of messages lead to, health and metrics.

Whatever comes is verified, kept durably and answered. What it means is found out later (events/ingest.py).

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
from starlette.types import ASGIApp, Receive, Scope, Send

from campaign_pipeline.contacts.opt_in import read_confirmation_token
from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.inbox import Inbox, InboxFull
from campaign_pipeline.messages.links import read_unsubscribe_token
from campaign_pipeline.web.health import Health
from campaign_pipeline.web.links import MessageLinks
from campaign_pipeline.web.media import media_route
from campaign_pipeline.web.metrics import CONTENT_TYPE, CountRequests, Metrics
from campaign_pipeline.web.pages import confirm_consent_page, confirm_page, confirmed_page, done_page, error_page
from campaign_pipeline.web.posts import RETRY_SECONDS, Posts
from campaign_pipeline.web.webhooks import WEBHOOKS

UNSUBSCRIBE_BYTES = 4 * 2**10


def create_app(settings: Settings, inbox: Inbox) -> ASGIApp:
    """The application. It starts `inbox` when it starts, and closes it when it ends.

    Webhooks are answered before any framework sees them; Starlette answers everything else.
    """
    metrics = Metrics(inbox)
    posts, pages = Posts(settings, inbox, metrics), _pages(settings, inbox, metrics)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        webhook = WEBHOOKS.get(scope["path"]) if scope["type"] == "http" else None
        if webhook:
            await posts.take(webhook, scope, receive, send)
        else:
            await pages(scope, receive, send)

    return app


def _pages(settings: Settings, inbox: Inbox, metrics: Metrics) -> Starlette:
    forms, health = _Forms(settings, inbox), Health(inbox)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        inbox.start()
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(inbox.close)

    async def show_health(_request: Request) -> Response:
        problem = await health.problem()
        return PlainTextResponse(problem or "ok", HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK)

    async def show_metrics(_request: Request) -> Response:
        return PlainTextResponse(metrics.text(), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/u/{token}", forms.ask, methods=["GET"]),
            Route("/u/{token}", forms.unsubscribe, methods=["POST"], max_body_size=UNSUBSCRIBE_BYTES),
            *MessageLinks(settings, inbox).routes(),
            media_route(settings.media_folder),
            Route("/c/{token}", forms.ask_to_confirm, methods=["GET"]),
            Route("/c/{token}", forms.confirm, methods=["POST"], max_body_size=UNSUBSCRIBE_BYTES),
            Route("/health", show_health, methods=["GET"]),
            Route("/healthz", show_health, methods=["GET"]),
            Route("/metrics", show_metrics, methods=["GET"]),
        ],
        middleware=[Middleware(CountRequests, metrics=metrics)],
        exception_handlers={InboxFull: _come_again, OSError: _come_again, Refused: _forbidden, InvalidInput: _no_link},
        lifespan=lifespan,
    )


class _Forms:
    """Unsubscribing, and confirming a consent: a GET asks, a POST does it."""

    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self._settings, self._inbox = settings, inbox

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
    return PlainTextResponse("come again", HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": f"{RETRY_SECONDS}"})
