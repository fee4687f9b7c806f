"""What Twilio answered to a request for one message, as a result. Errors are read by the SDK."""

from typing import Any

import orjson
from twilio.base.version import Version
from twilio.http.response import Response

from campaign_pipeline.dispatch.channels.base import Result
from campaign_pipeline.dispatch.channels.transport import Answer
from campaign_pipeline.dispatch.channels.twilio_codes import kind_of
from campaign_pipeline.dispatch.outcomes import Kind


def result_of(message_no: int, answer: Answer) -> Result:
    """A 2xx that names the message accepts it; without a readable name it is in doubt."""
    if 200 <= answer.status < 300:
        sid = _sid(answer.body)
        return Result(message_no, Kind.ACCEPTED, "", sid) if sid else Result(message_no, Kind.NO_ANSWER, "unreadable")
    code = _code(answer)
    kind = kind_of(answer.status, code)
    wait = answer.headers.get("Retry-After", "") if kind == Kind.THROTTLED else ""
    return Result(
        message_no,
        kind,
        str(code) if code and code != answer.status else f"http_{answer.status}",
        retry_after=float(wait) if wait.isdecimal() else 0.0,
    )


def _sid(body: bytes) -> str:
    try:
        created: Any = orjson.loads(body)
        sid = created["sid"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    return sid if isinstance(sid, str) else ""


def _code(answer: Answer) -> int | None:
    """Twilio's error code, of either of the two shapes that the SDK knows; without one, the status."""
    response = Response(answer.status, answer.body.decode(errors="replace"))
    error = Version.exception("POST", "", response, "")
    return int(str(error.code)) if str(error.code).isdecimal() else None
