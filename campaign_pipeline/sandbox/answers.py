"""An answer as plain data, so that what is said and how it travels (or breaks) are apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body bytes and headers of one HTTP answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


def json_answer(status: int, data: Any, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, orjson.dumps(data), {**JSON, **(headers or {})})


def twilio_error(status: int, code: int, message: str) -> Answer:
    """Twilio's error shape: {code, message, more_info, status}."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    return json_answer(status, {"code": code, "message": message, "more_info": more, "status": status})


def sendgrid_error(status: int, message: str, field: str | None = None) -> Answer:
    """SendGrid's error shape: {errors: [{message, field?}]}."""
    where = {"field": field} if field else {}
    return json_answer(status, {"errors": [{"message": message, **where}]})
