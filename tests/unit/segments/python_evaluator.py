"""The segment language again, in plain Python and on raw definitions: what the compiled SQL is compared with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from operator import eq, ge, gt, le, lt, ne
from typing import Any
from zoneinfo import ZoneInfo

from python_people import People

ORDER = {"eq": eq, "ne": ne, "gt": gt, "gte": ge, "lt": lt, "lte": le}


@dataclass(frozen=True)
class World(People):
    """`contacts`: rows with contact_id and fields. `events`: contact_id, event, occurred_at, properties (JSON text).

    `messages`: rows of message_facts.
    """

    contacts: list[dict[str, Any]]
    events: list[dict[str, Any]]
    as_of: datetime
    library: Mapping[str, Mapping[str, Any]]
    messages: list[dict[str, Any]] = field(default_factory=list)
    known: dict[Any, Any] = field(default_factory=dict)

    def members(self, segment: Mapping[str, Any]) -> set[str]:
        return self.whole(segment, ZoneInfo(segment.get("timezone", "UTC")))

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
            return {one["contact_id"] for one in self.contacts if self.holds(one[value["field"]], value, zone)}
        return {contact for contact in everyone if getattr(self, key)(contact, value, zone)}

    def did(self, contact: str, did: Mapping[str, Any], zone: ZoneInfo) -> bool:
        found = [how for at, how in self.events_of(contact, did, zone) if self.in_window(at, did, zone)]
        count = passes(Decimal(len(found)), did.get("count", {"gte": 1}))
        return count and all(measured(found, name, did[name]) for name in ("sum", "avg", "min", "max") if name in did)

    def first_did(self, contact: str, leaf: Mapping[str, Any], zone: ZoneInfo) -> bool:
        times = [at for at, _ in self.events_of(contact, leaf, zone)]
        return bool(times) and self.in_window(min(times), leaf, zone)

    def last_did(self, contact: str, leaf: Mapping[str, Any], zone: ZoneInfo) -> bool:
        times = [at for at, _ in self.events_of(contact, leaf, zone)]
        return bool(times) and self.in_window(max(times), leaf, zone)

    def stopped(self, contact: str, leaf: Mapping[str, Any], zone: ZoneInfo) -> bool:
        times = [at for at, _ in self.events_of(contact, leaf, zone)]
        quiet_from = back(self.as_of, leaf["for"], zone)
        active_from = back(self.as_of, leaf["within"], zone) if "within" in leaf else datetime.min.replace(tzinfo=UTC)
        return any(active_from <= at < quiet_from for at in times) and not any(at >= quiet_from for at in times)

    def restarted(self, contact: str, leaf: Mapping[str, Any], zone: ZoneInfo) -> bool:
        times = [at for at, _ in self.events_of(contact, leaf, zone)]
        again = back(self.as_of, leaf["within"], zone)
        gap = back(again, leaf["after_gap"], zone)
        return (
            any(at >= again for at in times)
            and not any(gap <= at < again for at in times)
            and any(at < gap for at in times)
        )

    def sequence(self, contact: str, leaf: Mapping[str, Any], zone: ZoneInfo) -> bool:
        steps = [{"event": step} if isinstance(step, str) else step for step in leaf["steps"]]
        times = [
            {
                at
                for at, _ in self.events_of(contact, step, zone)
                if self.in_window(at, {**leaf, "within": "99999d"}, zone)
            }
            for step in steps
        ]
        longest = hours(leaf["within"]) if "within" in leaf else timedelta.max

        def goes_on(first: datetime, last: datetime, rest: list[set[datetime]]) -> bool:
            return not rest or any(
                at > last and at - first <= longest and goes_on(first, at, rest[1:]) for at in rest[0]
            )

        return any(goes_on(at, at, times[1:]) for at in times[0])

    def events_of(self, contact: str, leaf: Mapping[str, Any], zone: ZoneInfo) -> list[tuple[datetime, dict[str, Any]]]:
        """Time and properties of the contact's events before as_of that `leaf` names and filters."""
        own = [
            (one["occurred_at"], json.loads(one["properties"]))
            for one in self.events
            if one["contact_id"] == contact and one["event"] == leaf["event"] and one["occurred_at"] < self.as_of
        ]
        rules = leaf.get("where", [])
        return [(at, how) for at, how in own if all(self.holds(how.get(rule["prop"]), rule, zone) for rule in rules)]

    def in_window(self, at: datetime, leaf: Mapping[str, Any], zone: ZoneInfo) -> bool:
        if at >= self.as_of or ("until" in leaf and at >= self.past(leaf["until"], zone)):
            return False
        if "since" in leaf and at < self.past(leaf["since"], zone):
            return False
        return "within" not in leaf or at >= back(self.as_of, leaf["within"], zone)

    def past(self, text: str, zone: ZoneInfo) -> datetime:
        return back(self.as_of, text.split()[0], zone) if text.endswith(" ago") else read_time(text, zone)

    def holds(self, found: Any, rule: Mapping[str, Any], zone: ZoneInfo) -> bool:
        rule = {key: value for key, value in rule.items() if key not in ("field", "prop")}
        any_case = rule.pop("ignore_case", False)
        ((operator, wanted),) = rule.items()
        if operator == "is_set":
            return (found is not None) == wanted
        if operator in ("older_than", "newer_than", "within_next", "anniversary"):
            return self.holds_now(found, operator, wanted, zone)
        if isinstance(found, datetime):
            return time_holds(found, operator, wanted, zone)
        one = wanted[0] if isinstance(wanted, list) else wanted
        if found is None or kind(found) != kind(one):
            return False
        if any_case:
            found, wanted = small(found), [small(one) for one in wanted] if isinstance(wanted, list) else small(wanted)
        return value_holds(found, operator, wanted)

    def holds_now(self, found: Any, operator: str, wanted: Any, zone: ZoneInfo) -> bool:
        """The comparisons with as_of: of moments to the microsecond, of dates as text by whole days."""
        local = self.as_of.astimezone(zone)
        if operator == "anniversary":
            born = found.astimezone(zone).date() if isinstance(found, datetime) else read_day(found)
            days = 1 if wanted == "today" else hours(wanted["within_next"]).days
            return born is not None and any(
                is_anniversary(born, local.date() + timedelta(days=number)) for number in range(days)
            )
        if isinstance(found, datetime):
            start, now, end = back(self.as_of, wanted, zone), self.as_of, back(self.as_of, wanted, zone, -1)
            holds = {"older_than": found < start, "newer_than": start <= found < now, "within_next": now <= found < end}
            return holds[operator]
        day = read_day(found)
        if day is None:
            return False
        ahead, days = (day - local.date()).days, hours(wanted).days
        return {"older_than": ahead < -days, "newer_than": -days <= ahead <= 0, "within_next": 0 <= ahead < days}[
            operator
        ]


def measured(found: list[dict[str, Any]], name: str, measure: Mapping[str, Any]) -> bool:
    values = [how.get(measure["prop"]) for how in found]
    numbers = [
        Decimal(str(value)).quantize(Decimal("0.000001"), ROUND_HALF_UP)
        for value in values
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if name == "sum":
        return passes(sum(numbers, Decimal(0)), measure)
    if not numbers:
        return False
    result: Fraction | Decimal = {
        "avg": Fraction(sum(numbers)) / len(numbers),
        "min": min(numbers),
        "max": max(numbers),
    }[name]
    return passes(result, measure)


def back(moment: datetime, duration: str, zone: ZoneInfo, sign: int = 1) -> datetime:
    if duration.endswith("h"):
        return moment - sign * hours(duration)
    wall = moment.astimezone(zone).replace(tzinfo=None) - sign * hours(duration)
    return wall.replace(tzinfo=zone).astimezone(UTC)


def hours(duration: str) -> timedelta:
    return int(duration[:-1]) * timedelta(hours={"h": 1, "d": 24, "w": 7 * 24}[duration[-1]])


def read_day(text: Any) -> date | None:
    try:
        parts = (text[:4], text[5:7], text[8:10])
        datetime.fromisoformat(text)
        return date(*map(int, parts)) if text[4] == text[7] == "-" else None
    except (TypeError, ValueError, IndexError):
        return None


def is_anniversary(born: date, day: date) -> bool:
    if (born.month, born.day) == (2, 29) and not (day.year % 4 == 0 and (day.year % 100 or day.year % 400 == 0)):
        born = born.replace(day=28)
    return (born.month, born.day) == (day.month, day.day) and born.year < day.year


def passes(number: Decimal | Fraction, threshold: Mapping[str, Any]) -> bool:
    exact = {op: bound for op, bound in threshold.items() if op != "prop"}
    if "between" in exact:
        low, high = exact["between"]
        exact = {"gte": low, "lte": high}
    return all(ORDER[op](Fraction(number), Fraction(str(bound))) for op, bound in exact.items())


def read_time(text: str, zone: ZoneInfo) -> datetime:
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=zone)


def time_holds(found: datetime, operator: str, wanted: Any, zone: ZoneInfo) -> bool:
    if operator != "between":
        return ORDER[operator](found, read_time(wanted, zone))
    low, high = wanted
    if len(high) == len("2026-03-02"):
        return found >= read_time(low, zone) and found.astimezone(zone).date() <= date.fromisoformat(high)
    return read_time(low, zone) <= found <= read_time(high, zone)


def value_holds(found: Any, operator: str, wanted: Any) -> bool:
    match operator:
        case "in":
            return found in wanted
        case "not_in":
            return found not in wanted
        case "contains":
            return wanted in found
        case "contains_any":
            return any(one in found for one in wanted)
        case "starts":
            return found.startswith(wanted)
        case "ends":
            return found.endswith(wanted)
        case "between":
            return value_holds(found, "gte", wanted[0]) and value_holds(found, "lte", wanted[1])
        case _ if isinstance(found, str):
            return ORDER[operator](found.encode(), wanted.encode())
        case _:
            return ORDER[operator](found, wanted)


def small(text: str) -> str:
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__
