"""Twilio's Message resource: its state, its JSON shape, and lists of it page by page."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.messages.sms import sms_parts

DEFAULT_PAGE, LARGEST_PAGE = 50, 1000
WHATSAPP = "whatsapp:"


@dataclass(slots=True)
class Message:
    """One message, sent by the API or received from a contact. Addresses carry `whatsapp:` where they are WhatsApp."""

    sid: str
    account_sid: str
    to: str
    sender: str | None
    body: str
    status: str
    created_at: datetime
    direction: str = "outbound-api"
    messaging_service_sid: str | None = None
    num_media: int = 0
    send_at: datetime | None = None  # of a scheduled message
    status_callback: str = ""
    categories: tuple[str, ...] = ()
    body_hash: str = ""
    query: Mapping[str, str] = field(default_factory=dict[str, str])  # of the status callback's URL
    sent_at: datetime | None = None
    updated_at: datetime | None = None
    error_code: int | None = None

    @property
    def whatsapp(self) -> bool:
        return self.to.startswith(WHATSAPP)

    @property
    def origin(self) -> str:
        """What it was sent from: a number or a Messaging Service."""
        return self.sender or self.messaging_service_sid or ""

    @property
    def key(self) -> str:
        """What the behaviour of its recipient hangs on: our message id, or the SID if it carries none."""
        return self.query.get("message_id") or self.sid

    @property
    def uri(self) -> str:
        return f"/2010-04-01/Accounts/{self.account_sid}/Messages/{self.sid}.json"

    def shown(self) -> dict[str, Any]:
        """api.v2010.account.message of Twilio's OpenAPI file."""
        return {
            "account_sid": self.account_sid,
            "api_version": "2010-04-01",
            "body": self.body,
            "date_created": rfc_2822(self.created_at),
            "date_sent": rfc_2822(self.sent_at),
            "date_updated": rfc_2822(self.updated_at or self.created_at),
            "direction": self.direction,
            "error_code": self.error_code,
            "error_message": None,
            "from": self.sender,
            "messaging_service_sid": self.messaging_service_sid,
            "num_media": str(self.num_media),
            "num_segments": "0" if self.sender is None else str(1 if self.whatsapp else sms_parts(self.body)),
            "price": None,
            "price_unit": None,
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {"media": self.uri.removesuffix(".json") + "/Media.json"},
            "to": self.to,
            "uri": self.uri,
        }


def rfc_2822(moment: datetime | None) -> str | None:
    return None if moment is None else _to_the_second(moment.replace(microsecond=0))


@lru_cache(maxsize=16)
def _to_the_second(moment: datetime) -> str:
    return format_datetime(moment)


class MessageStore:
    """All messages of the sandbox, newest last."""

    def __init__(self) -> None:
        self.by_sid: dict[str, Message] = {}
        self._by_to: dict[str, dict[str, Message]] = {}

    def add(self, message: Message) -> None:
        self.by_sid[message.sid] = message
        self._by_to.setdefault(message.to, {})[message.sid] = message

    def remove(self, message: Message) -> None:
        del self.by_sid[message.sid]
        del self._by_to[message.to][message.sid]

    def clear(self) -> None:
        self.by_sid.clear()
        self._by_to.clear()

    def page(self, account_sid: str, query: Mapping[str, str]) -> dict[str, Any]:
        """One page of ListMessageResponse, newest first. The token is the last SID seen, so new messages move nothing.

        InvalidInput for a filter or page size that is not understood.
        """
        size = _whole(query, "PageSize", DEFAULT_PAGE, 1, LARGEST_PAGE)
        number = _whole(query, "Page", 0, 0, 10**9)
        after = query.get("PageToken", "").removeprefix("PA")
        matching = self._matching(account_sid, query)
        if after:
            for message in matching:
                if message.sid == after:
                    break
        found = [message for message, _ in zip(matching, range(size + 1), strict=False)]
        shown = found[:size]
        filters = {name: value for name, value in query.items() if name not in ("Page", "PageToken", "PageSize")}
        base = f"/2010-04-01/Accounts/{account_sid}/Messages.json"

        def uri(page: int, token: str = "") -> str:
            place = {"PageSize": size, "Page": page} | ({"PageToken": f"PA{token}"} if token else {})
            return f"{base}?{urlencode(filters | place)}"

        return {
            "messages": [message.shown() for message in shown],
            "page": number,
            "page_size": size,
            "start": number * size,
            "end": number * size + max(len(shown) - 1, 0),
            "uri": uri(number, after),
            "first_page_uri": uri(0),
            "next_page_uri": uri(number + 1, shown[-1].sid) if len(found) > size else None,
            "previous_page_uri": None,
        }

    def _matching(self, account_sid: str, query: Mapping[str, str]) -> Iterator[Message]:
        to, sender = query.get("To"), query.get("From")
        times = [
            _sent_test(name.removeprefix("DateSent").rstrip("="), value)
            for name, value in query.items()
            if name.startswith("DateSent")
        ]
        messages = self.by_sid if to is None else self._by_to.get(to, {})
        return (
            message
            for message in reversed(messages.values())
            if message.account_sid == account_sid
            and (sender is None or message.sender == sender)
            and all(message.sent_at is not None and test(message.sent_at) for test in times)
        )


def _whole(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch(r"\d{1,10}", text) or not low <= int(text) <= high:
        raise InvalidInput(f"{name} must be between {low} and {high}")
    return int(text)


def _sent_test(op: str, value: str) -> Callable[[datetime], bool]:
    """`DateSent` (equal), `DateSent<` (at or before), `DateSent>` (at or after), by day or by moment."""
    try:
        if len(value) == 10:
            day = date.fromisoformat(value)
            tests: dict[str, Callable[[datetime], bool]] = {
                "": lambda at: at.date() == day,
                "<": lambda at: at.date() <= day,
                ">": lambda at: at.date() >= day,
            }
        else:
            moment = datetime.fromisoformat(value)
            moment = moment.replace(tzinfo=moment.tzinfo or UTC)
            tests = {
                "": lambda at: at.date() == moment.date(),  # SDKs send a day as its midnight
                "<": lambda at: at <= moment,
                ">": lambda at: at >= moment,
            }
        return tests[op]
    except (ValueError, KeyError):
        raise InvalidInput("the DateSent filter is not understood") from None
