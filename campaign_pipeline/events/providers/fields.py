"""Reading a payload that anybody may have written: what is not of its type is absent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import orjson

from campaign_pipeline.core.clock import as_utc
from campaign_pipeline.core.errors import InvalidInput

Fields = Mapping[str, Any]


def json_object(text: str, what: str) -> Fields:
    """The JSON object in `text`; InvalidInput: `what` is none."""
    try:
        data: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidInput(f"{what} is not JSON") from None
    if not isinstance(data, dict):
        raise InvalidInput(f"{what} is not a JSON object")
    return cast("Fields", data)


def text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def inner(fields: Fields, name: str) -> Fields:
    value = fields.get(name)
    return cast("Fields", value) if isinstance(value, dict) else {}


def objects(fields: Fields, name: str) -> list[Fields]:
    """The objects of a list."""
    value = fields.get(name)
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("Fields", item) for item in listed if isinstance(item, dict)]


def from_seconds(value: Any) -> datetime:
    """The moment of so many seconds since 1970, as a number or its digits."""
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise InvalidInput("the timestamp is not a number of seconds") from None


def from_iso(value: Any) -> datetime:
    """The moment of an ISO 8601 text with a zone."""
    try:
        moment = datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            raise ValueError
        return as_utc(moment)
    except (ValueError, OverflowError):
        raise InvalidInput("the time is not in ISO 8601 with a zone") from None
