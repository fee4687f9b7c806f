"""Between HTTP and answers: credentials, faults, and connections that break on demand."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from campaign_pipeline.sandbox.answers import Answer, sendgrid_error, twilio_error
from campaign_pipeline.sandbox.faults import Fault, FaultKind, Provider, afterwards, instead, unauthorized
from campaign_pipeline.sandbox.state import Sandbox

Respond = Callable[[web.Request, bytes], Answer]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def provider_handler(sandbox: Sandbox, provider: Provider, respond: Respond, sending: bool) -> Handler:
    """`respond` behind the provider's credentials and the faults in force; `sending` says what faults aim at."""

    async def handle(request: web.Request) -> web.StreamResponse:
        fault = sandbox.faults.meet(provider, sending)
        if fault and fault.kind is FaultKind.REFUSE_BEFORE_ACCEPT:
            return _drop(request)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            too_large = "content too large"
            return _sent(
                twilio_error(413, 20413, too_large) if provider == "twilio" else sendgrid_error(413, too_large)
            )
        if not sandbox.authorized(
            provider, request.headers.get("Authorization", ""), request.match_info.get("account")
        ):
            return _sent(unauthorized(provider))
        if fault is None:
            return _sent(respond(request, body))
        replacement = instead(fault, provider, sandbox.config.clock().timestamp())
        if replacement:
            return _sent(replacement)
        answer = respond(request, body)
        return await _spoiled(request, fault, provider, answer) if answer.accepted else _sent(answer)

    return handle


def _sent(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


async def _spoiled(request: web.Request, fault: Fault, provider: Provider, answer: Answer) -> web.StreamResponse:
    match fault.kind:
        case FaultKind.ACCEPT_THEN_DROP:
            return _drop(request)
        case FaultKind.TRUNCATED_BODY:
            return await _truncated(request, answer)
        case FaultKind.SLOW:
            await asyncio.sleep(fault.seconds)
            return _sent(answer)
        case _:
            return _sent(afterwards(fault, provider, answer))


def _drop(request: web.Request) -> web.Response:
    """Close the connection without a word; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _truncated(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Promise more than is sent: half of the body, or nothing of a body of 100 bytes where there is none."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body) or 100
    response.force_close()
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2] or b"{")
    if request.transport is not None:
        request.transport.close()
    return response
