"""Twilio's Content API: the registry of templates that WhatsApp messages name by ContentSid."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.sandbox.answers import Answer, json_answer, twilio_error

PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass
class ContentRegistry:
    account_sid: str
    clock: Clock
    contents: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])  # by SID, as shown

    def create(self, body: bytes) -> Answer:
        """POST /v1/Content: {friendly_name?, language, variables?, types: {"twilio/text": {"body": ...}}}."""
        try:
            asked: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            return twilio_error(400, 20001, "The body is not JSON")
        if not isinstance(asked, dict) or not asked.get("language") or not isinstance(asked.get("types"), dict):
            return twilio_error(400, 20001, "language and types are required")
        sid = f"HX{secrets.token_hex(16)}"
        url = f"https://content.twilio.com/v1/Content/{sid}"
        now = _iso(self.clock())
        content: dict[str, Any] = {
            "sid": sid,
            "account_sid": self.account_sid,
            "friendly_name": asked.get("friendly_name") or "",
            "language": asked["language"],
            "variables": asked.get("variables") or {},
            "types": asked["types"],
            "url": url,
            "date_created": now,
            "date_updated": now,
            "links": {
                "approval_create": f"{url}/ApprovalRequests/whatsapp",
                "approval_fetch": f"{url}/ApprovalRequests",
            },
        }
        self.contents[sid] = content
        return json_answer(201, content)

    def show(self, sid: str) -> Answer:
        found = self.contents.get(sid)
        return json_answer(200, found) if found else not_found(f"/v1/Content/{sid}")

    def delete(self, sid: str) -> Answer:
        return Answer(204) if self.contents.pop(sid, None) else not_found(f"/v1/Content/{sid}")

    def show_all(self) -> Answer:
        """GET /v1/Content: everything on one page."""
        url = "https://content.twilio.com/v1/Content?PageSize=1000&Page=0"
        meta: dict[str, Any] = {
            "page": 0,
            "page_size": 1000,
            "first_page_url": url,
            "previous_page_url": None,
            "url": url,
            "next_page_url": None,
            "key": "contents",
        }
        return json_answer(200, {"contents": list(self.contents.values()), "meta": meta})

    def render(self, sid: str, variables: Mapping[str, str]) -> str | None:
        """The body with its {{placeholders}} filled in (defaults where a value is missing); None if unknown."""
        content = self.contents.get(sid)
        if content is None:
            return None
        values = {**content["variables"], **variables}
        return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), _body(content))

    def missing(self, sid: str, variables: Mapping[str, str]) -> set[str]:
        """Placeholders of a known content that have neither a value nor a default."""
        content = self.contents.get(sid)
        if content is None:
            return set()
        return set(PLACEHOLDER.findall(_body(content))) - content["variables"].keys() - variables.keys()


def _body(content: Mapping[str, Any]) -> str:
    """Of the first of its types that has one."""
    return next((str(kind["body"]) for kind in content["types"].values() if "body" in kind), "")


def not_found(path: str) -> Answer:
    return twilio_error(404, 20404, f"The requested resource {path} was not found")


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
