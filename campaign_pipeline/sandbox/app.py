"""The sandbox as one web application: which path of which provider is answered by what."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.control import add_control
from campaign_pipeline.sandbox.sendgrid_logs import get_activity, get_log, search_activity, search_logs
from campaign_pipeline.sandbox.smtp_api import start_smtp
from campaign_pipeline.sandbox.state import Sandbox
from campaign_pipeline.sandbox.wire import Respond, provider_handler

MAX_REQUEST = 30 * 1024 * 1024  # SendGrid's limit
RELEASE_EVERY = 0.2  # seconds between looks at what is scheduled


def build_app(config: SandboxConfig) -> web.Application:
    """The application; it starts its callbacks with it and closes its files when it is cleaned up."""
    sandbox = Sandbox(config)
    app = web.Application(client_max_size=MAX_REQUEST)
    _add_twilio(app, sandbox)
    _add_sendgrid(app, sandbox)
    app.router.add_post(
        "/webhook",
        provider_handler(sandbox, "webhook", lambda r, body: sandbox.webhook.receive(r.headers, body), sending=True),
    )
    add_control(app, sandbox)

    async def life(_app: web.Application) -> AsyncIterator[None]:
        mail = await start_smtp(config, sandbox.smtp)
        sandbox.smtp_port = mail.sockets[0].getsockname()[1]
        await sandbox.callbacks.start()
        releasing = asyncio.create_task(_release_what_is_due(sandbox))
        yield
        mail.close()
        releasing.cancel()
        with suppress(asyncio.CancelledError):
            await releasing
        await sandbox.callbacks.stop()
        sandbox.truth.close()

    app.cleanup_ctx.append(life)
    return app


async def _release_what_is_due(sandbox: Sandbox) -> None:
    while True:
        await asyncio.sleep(RELEASE_EVERY)
        sandbox.release()


def _add_twilio(app: web.Application, sandbox: Sandbox) -> None:
    api, contents = sandbox.twilio, sandbox.twilio.contents
    messages = "/2010-04-01/Accounts/{account}/Messages.json"
    message = "/2010-04-01/Accounts/{account}/Messages/{sid}.json"

    def add(method: str, path: str, respond: Respond, sending: bool = False) -> None:
        app.router.add_route(method, path, provider_handler(sandbox, "twilio", respond, sending))

    add("POST", messages, lambda r, body: api.create(r.match_info["account"], body), sending=True)
    add("GET", messages, lambda r, _: api.list(r.match_info["account"], r.query))
    add("GET", message, lambda r, _: api.fetch(r.match_info["account"], r.match_info["sid"]))
    add("POST", message, lambda r, body: api.update(r.match_info["account"], r.match_info["sid"], body))
    add("DELETE", message, lambda r, _: api.delete(r.match_info["account"], r.match_info["sid"]))
    add("POST", "/v1/Content", lambda _, body: contents.create(body))
    add("GET", "/v1/Content", lambda _r, _b: contents.show_all())
    add("GET", "/v1/Content/{sid}", lambda r, _: contents.show(r.match_info["sid"]))
    add("DELETE", "/v1/Content/{sid}", lambda r, _: contents.delete(r.match_info["sid"]))


def _add_sendgrid(app: web.Application, sandbox: Sandbox) -> None:
    api = sandbox.sendgrid
    scheduled = "/v3/user/scheduled_sends"

    def add(method: str, path: str, respond: Respond, sending: bool = False) -> None:
        app.router.add_route(method, path, provider_handler(sandbox, "sendgrid", respond, sending))

    add("POST", "/v3/mail/send", lambda _, body: api.send(body), sending=True)
    add("POST", "/v3/mail/batch", lambda _r, _b: api.create_batch())
    add("GET", "/v3/mail/batch/{id}", lambda r, _: api.get_batch(r.match_info["id"]))
    add("POST", scheduled, lambda _, body: api.create_scheduled(body))
    add("GET", scheduled, lambda _r, _b: api.list_scheduled())
    add("GET", scheduled + "/{id}", lambda r, _: api.list_scheduled(r.match_info["id"]))
    add("PATCH", scheduled + "/{id}", lambda r, body: api.update_scheduled(r.match_info["id"], body))
    add("DELETE", scheduled + "/{id}", lambda r, _: api.delete_scheduled(r.match_info["id"]))
    add("POST", "/v3/logs", lambda _, body: search_logs(api, body))
    add("GET", "/v3/logs/{id}", lambda r, _: get_log(api, r.match_info["id"]))
    add("GET", "/v3/messages", lambda r, _: search_activity(api, r.query.get("query", ""), r.query.get("limit", "10")))
    add("GET", "/v3/messages/{id}", lambda r, _: get_activity(api, r.match_info["id"]))
