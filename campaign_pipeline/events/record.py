"""What the inbox keeps: one accepted request, as it came. Its lines are read by those who write them, and replayed."""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson

from campaign_pipeline.core.clock import as_utc
from campaign_pipeline.core.errors import InvalidInput

PROVIDER = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Record:
    """One request: when it came, from whom, what kind (events, status, inbound, unsubscribe), its query and body."""

    received_at: datetime
    provider: str
    kind: str
    query: Mapping[str, str]
    body: str


def to_line(received_at: datetime, provider: str, kind: str, query: Mapping[str, str], body: bytes) -> bytes:
    """One line of JSON. A body that is not UTF-8 is kept in base64 and says so in `encoding`."""
    line: dict[str, Any] = {
        "received_at": received_at.isoformat(),
        "provider": provider,
        "kind": kind,
        "query": dict(query),
    }
    try:
        line["body"] = body.decode()
    except UnicodeDecodeError:
        line |= {"body": b64encode(body).decode(), "encoding": "base64"}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def from_line(line: bytes) -> Record:
    """The record of one line; InvalidInput says what is wrong with it, without repeating its content."""
    try:
        data: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise InvalidInput("the line is not JSON") from None
    if not isinstance(data, dict):
        raise InvalidInput("the line is not a JSON object")
    fields = cast("dict[str, Any]", data)
    received_at, query, body = fields.get("received_at"), fields.get("query"), fields.get("body")
    provider, kind = fields.get("provider"), fields.get("kind")
    if not (isinstance(provider, str) and isinstance(kind, str) and isinstance(body, str) and isinstance(query, dict)):
        raise InvalidInput("the line lacks provider, kind, query or body")
    try:
        moment = as_utc(datetime.fromisoformat(str(received_at)))
        if fields.get("encoding") == "base64":
            body = b64decode(body, validate=True).decode()
    except UnicodeDecodeError:
        raise InvalidInput("the body is not UTF-8") from None
    except ValueError:
        raise InvalidInput("received_at is not a time, or the body is not base64") from None
    pairs = cast("dict[str, Any]", query)
    return Record(moment, provider, kind, {name: str(value) for name, value in pairs.items()}, body)
