"""The sandbox's own routes, under /sandbox: to watch it, and to make it misbehave."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from campaign_pipeline.sandbox.behaviour import Behaviour
from campaign_pipeline.sandbox.faults import Fault
from campaign_pipeline.sandbox.state import Sandbox

M = TypeVar("M", bound=BaseModel)


class Inbound(BaseModel):
    """A text from a contact: `sender` is the contact's number, `to` ours (both with `whatsapp:` for WhatsApp)."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    sender: str = Field(alias="from")
    to: str
    body: str


def add_control(app: web.Application, sandbox: Sandbox) -> None:
    async def health(_: web.Request) -> web.Response:
        return _json({"status": "ok", "accept_only": sandbox.config.accept_only, "smtp_port": sandbox.smtp_port})

    async def stats(_: web.Request) -> web.Response:
        return _json(await asyncio.to_thread(sandbox.stats))

    async def idle(_: web.Request) -> web.Response:
        pending = sandbox.callbacks.pending
        return _json({"idle": pending == 0, "pending": pending})

    async def reset(_: web.Request) -> web.Response:
        await sandbox.reset()
        return _json({"reset": True})

    async def release(_: web.Request) -> web.Response:
        sandbox.release(everything=True)
        return _json({"scheduled": sandbox.waiting})

    async def show_faults(_: web.Request) -> web.Response:
        return _json(
            [{**entry.fault.model_dump(), "left": entry.left, "hits": entry.hits} for entry in sandbox.faults.active]
        )

    async def clear_faults(_: web.Request) -> web.Response:
        sandbox.faults.clear()
        return _json([])

    async def add_fault(fault: Fault) -> web.Response:
        sandbox.faults.add(fault)
        return _json(fault.model_dump(), 201)

    async def behave(behaviour: Behaviour) -> web.Response:
        sandbox.behave(behaviour)
        return _json(behaviour.model_dump(mode="json"))

    async def receive(inbound: Inbound) -> web.Response:
        message = sandbox.twilio.receive(inbound.sender, inbound.to, inbound.body)
        return _json({"sid": message.sid}, 201)

    app.add_routes(
        [
            web.get("/sandbox/health", health),
            web.get("/sandbox/stats", stats),
            web.get("/sandbox/idle", idle),
            web.post("/sandbox/reset", reset),
            web.post("/sandbox/release", release),
            web.get("/sandbox/faults", show_faults),
            web.delete("/sandbox/faults", clear_faults),
            web.post("/sandbox/faults", _with(Fault, add_fault)),
            web.post("/sandbox/behaviour", _with(Behaviour, behave)),
            web.post("/sandbox/inbound", _with(Inbound, receive)),
        ]
    )


def _with(
    model: type[M], act: Callable[[M], Awaitable[web.Response]]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that takes its body as `model`; 400 with the first problem if it is not one."""

    async def handle(request: web.Request) -> web.Response:
        try:
            value = model.model_validate_json(await request.read())
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            return _json({"error": f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"}, 400)
        return await act(value)

    return handle


def _json(data: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")
