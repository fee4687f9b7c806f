"""What the links of a message lead to: the target of a click, the contact's preferences, the message in a browser.

A GET changes nothing, apart from the click that it is. What a contact chooses, and each click, goes into the inbox. The
pages of preferences and of the message read: the message in the lake, and for preferences the operational database.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import parse_qsl, quote

import anyio.to_thread
import orjson
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from campaign_pipeline.core.errors import InvalidInput, NotFound, Unavailable
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel, ConsentState
from campaign_pipeline.events.inbox import Inbox, InboxFull
from campaign_pipeline.events.preferences import KIND, MOST, TOPIC
from campaign_pipeline.messages.clicks import PATH, read_click_token
from campaign_pipeline.messages.links import PATHS, LinkTo, read_message_token
from campaign_pipeline.messages.sent import read_message
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.messages import message_preferences
from campaign_pipeline.web.pages import HEADERS, error_page, gone_page, preferences_page, saved_page, view_page

PREFERENCES_BYTES = 32 * 2**10
AGENT_CHARACTERS = 500
"""Kept of a user agent."""

_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"
"""What stays as it is in a Location, beside letters and digits."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class MessageLinks:
    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self._settings, self._inbox = settings, inbox
        self._installation = Installation(settings)

    def routes(self) -> list[Route]:
        preferences = f"/{PATHS[LinkTo.PREFERENCES]}/{{token}}"
        return [
            Route(f"/{PATH}/{{token}}", self.click, methods=["GET"]),
            Route(preferences, self.show_preferences, methods=["GET"]),
            Route(preferences, self.choose, methods=["POST"], max_body_size=PREFERENCES_BYTES),
            Route(f"/{PATHS[LinkTo.VIEW]}/{{token}}", self.view, methods=["GET"]),
        ]

    async def click(self, request: Request) -> Response:
        """Keep the click, and on to the target that we signed: also when the inbox takes nothing."""
        click = read_click_token(self._settings.link_secret, request.path_params["token"])
        headers = request.headers
        kept = click._asdict() | {
            "method": request.method,
            "user_agent": headers.get("user-agent", "")[:AGENT_CHARACTERS],
            "purpose": (headers.get("sec-purpose") or headers.get("purpose") or "")[:AGENT_CHARACTERS],
        }
        try:
            await self._inbox.append("own", "click", kept, b"")
        except (InboxFull, OSError):
            _log.error("a click was not kept: the inbox takes nothing")
        location = quote(click.url, safe=_URL_CHARACTERS)
        return Response(status_code=HTTPStatus.FOUND, headers=HEADERS | {"Location": location})

    async def show_preferences(self, request: Request) -> Response:
        message = self._message(request, LinkTo.PREFERENCES)
        try:
            return preferences_page(await _in_thread(lambda: message_preferences(self._installation, *message)))
        except NotFound:
            return gone_page()
        except (DBAPIError, Unavailable):
            return error_page(
                "Please try again later",
                "Your preferences cannot be shown at the moment.",
                HTTPStatus.SERVICE_UNAVAILABLE,
            )

    async def choose(self, request: Request) -> Response:
        """The message and not the token is kept, as for unsubscriptions; the database is not needed."""
        run_id, message_id = self._message(request, LinkTo.PREFERENCES)
        if changes := changes_of(await request.body()):
            kept = {"run_id": run_id, "message_id": message_id}
            if request.client:
                kept["ip"] = request.client.host  # evidence of who consented
            await self._inbox.append("own", KIND, kept, orjson.dumps(changes))
        return saved_page()

    async def view(self, request: Request) -> Response:
        run_id, message_id = self._message(request, LinkTo.VIEW)
        message = await _in_thread(lambda: read_message(self._installation.lake, run_id, message_id))
        return view_page(message.parts) if message else gone_page()

    def _message(self, request: Request, link: LinkTo) -> tuple[str, str]:
        return read_message_token(self._settings.link_secret, link, request.path_params["token"])


def changes_of(form: bytes) -> list[dict[str, str]]:
    """What a form of preferences changes: {topic, channel, state} for each box that is not as it was shown."""
    try:
        fields = parse_qsl(form.decode(), keep_blank_values=True, strict_parsing=bool(form), max_num_fields=3 * MOST)
    except ValueError:
        raise InvalidInput("this is not a form of ours") from None
    on = set() if any(name == "nothing" for name, _ in fields) else {value for name, value in fields if name == "on"}
    changes: list[dict[str, str]] = []
    for shown in dict.fromkeys(value for name, value in fields if name == "was"):
        channel, _, rest = shown.partition(":")
        topic, _, was = rest.partition(":")
        if channel not in list(Channel) or not TOPIC.fullmatch(topic) or was not in list(ConsentState):
            raise InvalidInput("this is not a form of ours")
        state = ConsentState.GRANTED if f"{channel}:{topic}" in on else ConsentState.WITHDRAWN
        if state != was:
            changes.append({"topic": topic, "channel": channel, "state": state.value})
    return changes[:MOST]


async def _in_thread(call: Callable[[], _T]) -> _T:
    return await anyio.to_thread.run_sync(call)
