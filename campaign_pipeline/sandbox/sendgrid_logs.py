"""SendGrid's records of sent mail: Email Logs (/v3/logs) and the older Email Activity (/v3/messages).

Queries are conditions joined by AND, as both document them: `status IN ('delivered')`,
`(unique_args['message_id']="...")`, `sg_message_id_created_at > TIMESTAMP "2026-01-01T00:00:00Z"`.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from campaign_pipeline.sandbox.answers import Answer, json_answer, sendgrid_error
from campaign_pipeline.sandbox.sendgrid_api import SendGridApi
from campaign_pipeline.sandbox.sendgrid_mails import Mail

CONDITION = re.compile(
    r"""\s*\(?\s*(?P<field>[a-z_]+)(?:\[['"](?P<arg>[^'"]+)['"]\])?\s*
    (?P<op>>=|<=|=|>|<|\bIN\b|\bLIKE\b)\s*(?:TIMESTAMP\s+)?
    (?P<value>"[^"]*"|'[^']*'|\([^)]*\))\s*\)?\s*(?:\bAND\b|$)""",
    re.IGNORECASE | re.VERBOSE,
)
QUOTED = re.compile(r"""["']([^"']*)["']""")
Test = Callable[[Mail], bool]

FIELDS: dict[str, Callable[[Mail], str | Iterable[str]]] = {
    "sg_message_id": lambda mail: mail.sg_message_id,
    "msg_id": lambda mail: mail.sg_message_id,
    "subject": lambda mail: mail.subject,
    "to_email": lambda mail: mail.email,
    "from_email": lambda mail: mail.request.from_email,
    "status": lambda mail: (mail.status, activity_status(mail)),
    "categories": lambda mail: mail.request.categories,
}


class BadQuery(Exception):
    """A query that is not understood."""


def parse_query(query: str) -> tuple[list[Test], str | None]:
    """The conditions as tests, and our message id if one of them names it (to look it up instead of searching)."""
    tests: list[Test] = []
    message_id: str | None = None
    position = 0
    while position < len(query.rstrip()):
        found = CONDITION.match(query, position)
        if not found:
            raise BadQuery(f"invalid query near character {position}")
        position = found.end()
        values = QUOTED.findall(found["value"])
        if found["field"] in ("unique_args", "custom_args") and found["arg"] == "message_id" and found["op"] == "=":
            message_id = values[0]
        tests.append(_test(found["field"], found["arg"], found["op"].upper(), values))
    return tests, message_id


def _test(field: str, arg: str | None, op: str, values: list[str]) -> Test:
    if not values:
        raise BadQuery(f"no value for {field}")
    if field in ("unique_args", "custom_args") and arg and op == "=":
        return lambda mail: mail.custom_args.get(arg) == values[0]
    if field == "sg_message_id_created_at" and op in (">", "<", ">=", "<="):
        return _time_test(op, values[0])
    if field not in FIELDS or op not in ("=", "IN", "LIKE"):
        raise BadQuery(f"{field} {op} is not supported")
    of = FIELDS[field]

    def matches(mail: Mail) -> bool:
        found = of(mail)
        texts = [found] if isinstance(found, str) else list(found)
        if op == "LIKE":  # `abc%`: begins with
            return any(text.startswith(values[0].rstrip("%")) for text in texts)
        return any(text in values for text in texts)

    return matches


def _time_test(op: str, value: str) -> Test:
    try:
        limit = datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise BadQuery(f"{value!r} is not a timestamp") from None
    compare: dict[str, Test] = {
        ">": lambda mail: mail.request.created_at > limit,
        "<": lambda mail: mail.request.created_at < limit,
        ">=": lambda mail: mail.request.created_at >= limit,
        "<=": lambda mail: mail.request.created_at <= limit,
    }
    return compare[op]


def search_logs(api: SendGridApi, body: bytes) -> Answer:
    """POST /v3/logs: {messages: [EmailLogsMessage]}, newest first."""
    try:
        asked: Any = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        return sendgrid_error(400, "invalid JSON")
    found = _search(api, str(asked.get("query") or ""), str(asked.get("limit", 10)))
    return found if isinstance(found, Answer) else json_answer(200, {"messages": [_log_summary(m) for m in found]})


def get_log(api: SendGridApi, sg_message_id: str) -> Answer:
    """GET /v3/logs/{sg_message_id}: EmailLogsGetMessageByIdResponse."""
    mail = api.mails.get(sg_message_id)
    if mail is None:
        return sendgrid_error(404, "message not found")
    return json_answer(
        200,
        {
            **_common(mail),
            "sg_message_id": mail.sg_message_id,
            "status": mail.status,
            "api_key_id": "sandbox",
            "client_ip": "127.0.0.1",
            "category": list(mail.request.categories),
            "custom_args": dict(mail.custom_args),
            "events": [mail.log_event(step, at) for step, at in mail.happened[-100:]],
        },
    )


def search_activity(api: SendGridApi, query: str, limit: str) -> Answer:
    """GET /v3/messages: {messages: [{from_email, msg_id, subject, to_email, status, ...}]}, newest first."""
    found = _search(api, query, limit)
    if isinstance(found, Answer):
        return found
    return json_answer(200, {"messages": [_activity_summary(mail) for mail in found]})


def get_activity(api: SendGridApi, msg_id: str) -> Answer:
    """GET /v3/messages/{msg_id}: with events and unique_args."""
    mail = api.mails.get(msg_id)
    if mail is None:
        return sendgrid_error(404, "message not found")
    return json_answer(
        200,
        {
            **_common(mail),
            "msg_id": mail.sg_message_id,
            "status": activity_status(mail),
            "api_key_id": "sandbox",
            "originating_ip": "127.0.0.1",
            "categories": list(mail.request.categories),
            "unique_args": dict(mail.custom_args),
            "events": [{"event_name": step.kind, "processed": _iso(at)} for step, at in mail.happened],
        },
    )


def activity_status(mail: Mail) -> str:
    """Email Activity knows three: processed, delivered, not_delivered."""
    return mail.status if mail.status in ("processed", "delivered") else "not_delivered"


def _search(api: SendGridApi, query: str, limit: str) -> list[Mail] | Answer:
    if not limit.isdecimal() or not 1 <= int(limit) <= 1000:
        return sendgrid_error(400, "limit must be between 1 and 1000", "limit")
    try:
        tests, message_id = parse_query(query)
    except BadQuery as error:
        return sendgrid_error(400, str(error), "query")
    mails = list(api.mails.values()) if message_id is None else api.by_message_id.get(message_id, [])
    return [mail for mail in reversed(mails) if all(test(mail) for test in tests)][: int(limit)]


def _common(mail: Mail) -> dict[str, Any]:
    return {"from_email": mail.request.from_email, "subject": mail.subject, "to_email": mail.email}


def _log_summary(mail: Mail) -> dict[str, Any]:
    return {
        **_common(mail),
        "sg_message_id": mail.sg_message_id,
        "status": mail.status,
        "sg_message_id_created_at": _iso(mail.request.created_at),
    }


def _activity_summary(mail: Mail) -> dict[str, Any]:
    kinds = [step.kind for step, _ in mail.happened]
    last = max((at for _, at in mail.happened), default=mail.request.created_at)
    return {
        **_common(mail),
        "msg_id": mail.sg_message_id,
        "status": activity_status(mail),
        "opens_count": kinds.count("open"),
        "clicks_count": kinds.count("click"),
        "last_event_time": _iso(last),
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
