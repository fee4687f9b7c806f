"""Asking SendGrid's message logs about e-mails in doubt, as its API description documents them.

A search finds what went to an address in the time of the attempt; only the details of a message carry our custom
arguments, which say whether it is the one. Nobody has tried it on a live account: whether an account may ask, how
often, and how soon a message shows up. Hence CAMPAIGN_SENDGRID_LOGS, which is off by default.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson

from campaign_pipeline.dispatch.channels.base import Doubt, Finding, Lookup
from campaign_pipeline.dispatch.channels.connection import NoAnswer, NotConnected
from campaign_pipeline.dispatch.channels.sendgrid_codes import x_message_id
from campaign_pipeline.dispatch.channels.transport import Transport

LOGS = "/v3/logs"

MOST_FOUND = 100
"""Messages to one address that a search may find; more, and it is inconclusive."""

AT_ONCE = 8
"""Doubts that are asked about at once."""

CLOCKS_DIFFER = timedelta(minutes=2)
"""How far the provider's clock may be from ours."""

STOPS = frozenset({401, 403, 429})
"""Answers after which it is not asked about the others either."""


class Refused(Exception):
    """The provider does not answer such questions, or not now."""


async def look_up(transport: Transport, headers: Mapping[str, str], doubts: Sequence[Doubt]) -> list[Lookup]:
    """What the logs show of each doubt; inconclusive where they could not be asked."""
    waiting = iter(doubts)
    answers: list[Lookup] = []
    refused = False

    async def ask() -> None:
        nonlocal refused
        for doubt in waiting:
            finding, provider_id = Finding.INCONCLUSIVE, ""
            if not refused:
                try:
                    finding, provider_id = await _look_up(transport, headers, doubt)
                except Refused:
                    refused = True
                except (NotConnected, NoAnswer, ValueError, TypeError, KeyError, AttributeError):
                    pass  # no answer, or none that can be read
            answers.append(Lookup(doubt.message.message_no, doubt.batch.attempt, finding, provider_id))

    async with asyncio.TaskGroup() as together:
        for _ in range(min(AT_ONCE, len(doubts))):
            together.create_task(ask())
    return answers


async def _look_up(transport: Transport, headers: Mapping[str, str], doubt: Doubt) -> tuple[Finding, str]:
    query = query_of(doubt)
    if query is None:
        return Finding.INCONCLUSIVE, ""
    found = (await _ask(transport, headers, "POST", LOGS, {"query": query, "limit": MOST_FOUND}))["messages"]
    wanted = {
        "run_id": doubt.batch.run_id,
        "message_id": doubt.message.message_id,
        "attempt": str(doubt.batch.attempt),
    }
    for message in found:
        sg_message_id = str(message["sg_message_id"])
        details = await _ask(transport, headers, "GET", f"{LOGS}/{quote(sg_message_id, safe='')}")
        arguments = details["custom_args"]
        if {name: arguments.get(name) for name in wanted} == wanted:
            return Finding.FOUND, x_message_id(sg_message_id)
    return (Finding.ABSENT if len(found) < MOST_FOUND else Finding.INCONCLUSIVE), ""


def query_of(doubt: Doubt) -> str | None:
    """The search for a doubt's message; None: it cannot be written."""
    address = doubt.message.address
    if '"' in address or "\\" in address:  # nothing is documented about quoting
        return None
    begin, end = doubt.claimed_at - CLOCKS_DIFFER, (doubt.until or doubt.claimed_at) + CLOCKS_DIFFER
    return (
        f"to_email = \"{address}\" AND categories IN ('{doubt.batch.campaign}')"
        f" AND sg_message_id_created_at >= {_timestamp(begin)} AND sg_message_id_created_at <= {_timestamp(end)}"
    )


def _timestamp(moment: datetime) -> str:
    return f'TIMESTAMP "{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"'


async def _ask(
    transport: Transport, headers: Mapping[str, str], method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The answer's JSON object. Refused; ValueError if it is no answer to the question."""
    async with transport.place:
        answer = await transport.request(method, path, headers=headers, body=orjson.dumps(body) if body else None)
    if answer.status in STOPS:
        raise Refused(f"http_{answer.status}")
    if answer.status != 200:
        raise ValueError(f"http_{answer.status}")
    return orjson.loads(answer.body)
