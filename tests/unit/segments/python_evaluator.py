"""The segment language again, in plain Python and on raw definitions: what the compiled SQL is compared with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import Any
from zoneinfo import ZoneInfo

ORDER = {"eq": eq, "ne": ne, "gt": gt, "gte": ge, "lt": lt, "lte": le}


@dataclass(frozen=True)
class World:
    """`contacts`: rows with contact_id and fields. `events`: contact_id, event, occurred_at, properties (JSON text)."""

    contacts: list[dict[str, Any]]
    events: list[dict[str, Any]]
    as_of: datetime
    library: Mapping[str, Mapping[str, Any]]

    def members(self, segment: Mapping[str, Any]) -> set[str]:
        return self.matching(segment["where"], ZoneInfo(segment.get("timezone", "UTC")))

    def matching(self, node: Mapping[str, Any], zone: ZoneInfo) -> set[str]:
        everyone = {contact["contact_id"] for contact in self.contacts}
        ((key, value),) = node.items()
        if key == "all":
            return everyone.intersection(*(self.matching(child, zone) for child in value))
        if key == "any":
            return set().union(*(self.matching(child, zone) for child in value))
        if key == "not":
            return everyone - self.matching(value, zone)
        if key == "segment":
            return self.members(self.library[value])
        if key == "trait":
            return {one["contact_id"] for one in self.contacts if holds(one[value["field"]], value, zone)}
        assert key == "did"
        return {contact for contact in everyone if self.did(contact, value, zone)}

    def did(self, contact: str, did: Mapping[str, Any], zone: ZoneInfo) -> bool:
        found = [
            json.loads(one["properties"])
            for one in self.events
            if one["contact_id"] == contact and one["event"] == did["event"] and self.in_window(one, did, zone)
        ]
        found = [one for one in found if all(holds(one.get(rule["prop"]), rule, zone) for rule in did.get("where", []))]
        total = Decimal(0)
        for one in found:
            amount = one.get(did.get("sum", {}).get("prop"))
            if isinstance(amount, int | float) and not isinstance(amount, bool):
                total += Decimal(str(amount)).quantize(Decimal("0.000001"), ROUND_HALF_UP)
        return passes(Decimal(len(found)), did.get("count", {"gte": 1})) and passes(total, did.get("sum", {}))

    def in_window(self, event: Mapping[str, Any], did: Mapping[str, Any], zone: ZoneInfo) -> bool:
        at = event["occurred_at"]
        if at >= self.as_of or ("until" in did and at >= read_time(did["until"], zone)):
            return False
        if "since" in did and at < read_time(did["since"], zone):
            return False
        if "within" not in did:
            return True
        number, unit = int(did["within"][:-1]), did["within"][-1]
        if unit == "h":
            return at >= self.as_of - timedelta(hours=number)
        days = number * (7 if unit == "w" else 1)
        wall = self.as_of.astimezone(zone).replace(tzinfo=None) - timedelta(days=days)
        return at >= wall.replace(tzinfo=zone).astimezone(UTC)


def passes(number: Decimal, threshold: Mapping[str, Any]) -> bool:
    return all(ORDER[op](number, Decimal(str(bound))) for op, bound in threshold.items() if op != "prop")


def read_time(text: str, zone: ZoneInfo) -> datetime:
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=zone)


def holds(found: Any, rule: Mapping[str, Any], zone: ZoneInfo) -> bool:
    ((operator, wanted),) = [(key, value) for key, value in rule.items() if key not in ("field", "prop")]
    if operator == "is_set":
        return (found is not None) == wanted
    if isinstance(found, datetime):
        wanted = read_time(wanted, zone)
    one = wanted[0] if isinstance(wanted, list) else wanted
    if found is None or kind(found) != kind(one):
        return False
    if operator == "in":
        return found in wanted
    if operator == "not_in":
        return found not in wanted
    if operator == "contains":
        return wanted in found
    if operator == "starts":
        return found.startswith(wanted)
    if isinstance(found, str):
        return ORDER[operator](found.encode(), wanted.encode())
    return ORDER[operator](found, wanted)


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__
