"""Engagement, lists, tags, reachability, metrics, scores, samples and limits again, in plain Python."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from operator import eq, ge, gt, le, lt
from typing import Any
from zoneinfo import ZoneInfo

ORDER = {"eq": eq, "gt": gt, "gte": ge, "lt": lt, "lte": le}
MILLIONTH = Decimal("0.000001")
Events = list[tuple[datetime, dict[str, Any]]]


def passes(number: Fraction | Decimal | int, threshold: Mapping[str, Any]) -> bool:
    if "between" in threshold:
        low, high = threshold["between"]
        threshold = {"gte": low, "lte": high}
    return all(ORDER[op](Fraction(number), Fraction(str(bound))) for op, bound in threshold.items())


def several(value: Any) -> list[Any]:
    value = value["any"] if isinstance(value, dict) else value
    return value if isinstance(value, list) else [value]


def place(seed: str, contact: str) -> int:
    """From 0 to 9999, by the letter of GrowthBook's specification."""

    def fnv(text: str) -> int:
        hashed = 0x811C9DC5
        for letter in text.encode():
            hashed = ((hashed ^ letter) * 0x01000193) % 2**32
        return hashed

    return fnv(str(fnv(f"{seed}:sample{contact}"))) % 10000


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def exact(value: float) -> Decimal:
    return Decimal(str(value)).quantize(MILLIONTH, ROUND_HALF_UP)


def rounded(value: Fraction) -> Fraction:
    """To six decimals, halves away from zero."""
    millionths = (2 * abs(value) * 10**6 + 1) // 2
    return Fraction(millionths if value > 0 else -millionths, 10**6)


def length(duration: str) -> timedelta:
    return int(duration[:-1]) * timedelta(hours={"h": 1, "d": 24, "w": 168}[duration[-1]])


class People:
    """What World has beside the groups, traits and events; by contact, as there."""

    contacts: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    as_of: datetime
    library: Mapping[str, Mapping[str, Any]]
    known: dict[Any, Any]

    def list(self, contact: str, names: Any, zone: ZoneInfo) -> bool:
        return not set(several(names)).isdisjoint(self.row(contact)["lists"])

    def tag(self, contact: str, names: Any, zone: ZoneInfo) -> bool:
        return not set(several(names)).isdisjoint(self.row(contact)["tags"])

    def reachable(self, contact: str, channels: Any, zone: ZoneInfo) -> bool:
        return any(self.row(contact)[f"reachable_{channel}"] for channel in several(channels))

    def engaged(self, contact: str, leaf: Mapping[str, Any], zone: ZoneInfo) -> bool:
        column = "accepted_at" if leaf["what"] == "sent" else f"{leaf['what']}_at"
        counted = [
            one
            for one in self.messages
            if one["contact_id"] == contact
            and all(one[name] in several(leaf[name]) for name in ("campaign", "variant", "channel") if name in leaf)
            and one[column] is not None
            and self.in_window(one[column], leaf, zone)
        ]
        return passes(len(counted), leaf.get("count", {"gte": 1}))

    def metric(self, contact: str, leaf: Mapping[str, Any], zone: ZoneInfo) -> bool:
        values = self.values(leaf["name"], zone)
        if "is_set" in leaf:
            return (contact in values) == leaf["is_set"]
        if contact not in values:
            return False
        if "percentile" not in leaf:
            return passes(values[contact], {op: bound for op, bound in leaf.items() if op != "name"})
        others = [value for one, value in values.items() if one != contact]
        lower = sum(value < values[contact] for value in others)
        return passes(Fraction(100 * lower, len(others)) if others else 0, leaf["percentile"])

    def values(self, name: str, zone: ZoneInfo) -> dict[str, Fraction]:
        """The metric of everybody who has it."""
        if (name, zone) not in self.known:
            self.known[name, zone] = self.measured(name, zone)
        return self.known[name, zone]

    def measured(self, name: str, zone: ZoneInfo) -> dict[str, Fraction]:
        metric = next(one["metrics"][name] for one in self.library.values() if name in one.get("metrics", {}))
        everybody = {one["contact_id"]: self.counted(one["contact_id"], metric, zone) for one in self.contacts}
        values = {contact: self.measure(events, metric) for contact, events in everybody.items() if events}
        return {contact: value for contact, value in values.items() if value is not None}

    def measure(self, events: Events, metric: Mapping[str, Any]) -> Fraction | None:
        if "count" in metric:
            return Fraction(len(events))
        if "recency" in metric:
            return Fraction((self.as_of - max(at for at, _ in events)) // timedelta(days=1))
        if "frequency" in metric:
            return rounded(Fraction(len(events)) * Fraction(length(metric["frequency"]) / length(metric["within"])))
        ((name, prop),) = [(name, metric[name]) for name in ("sum", "avg", "min", "max") if name in metric]
        numbers = [Fraction(exact(how[prop])) for _, how in events if is_number(how.get(prop))]
        if not numbers:
            return None
        if name == "avg":
            return rounded(sum(numbers, Fraction()) / len(numbers))
        return {"sum": sum, "min": min, "max": max}[name](numbers)

    def rfm(self, contact: str, leaf: Mapping[str, Any], zone: ZoneInfo) -> bool:
        key = (repr(leaf), zone)
        if key not in self.known:
            self.known[key] = self.figures(leaf, zone)
        return all(
            contact in of and passes(1 + 5 * sum(value < of[contact] for value in of.values()) // len(of), leaf[part])
            for part, of in self.known[key].items()
            if part in leaf
        )

    def figures(self, leaf: Mapping[str, Any], zone: ZoneInfo) -> dict[str, dict[str, Any]]:
        """What is scored, by part and contact, of those who have such an event."""
        everybody = {one["contact_id"]: self.counted(one["contact_id"], leaf, zone) for one in self.contacts}
        buyers = {one: events for one, events in everybody.items() if events}
        amounts = {one: [how.get(leaf.get("amount")) for _, how in events] for one, events in buyers.items()}
        return {
            "recency": {one: max(at for at, _ in events) for one, events in buyers.items()},
            "frequency": {one: len(events) for one, events in buyers.items()},
            "monetary": {
                one: sum(exact(value) for value in found if is_number(value)) for one, found in amounts.items()
            },
        }

    def counted(self, contact: str, leaf: Mapping[str, Any], zone: ZoneInfo) -> Events:
        return [(at, how) for at, how in self.events_of(contact, leaf, zone) if self.in_window(at, leaf, zone)]

    def whole(self, segment: Mapping[str, Any], zone: ZoneInfo) -> set[str]:
        """`where`, then each exclusion, the sample and the limit."""
        kept = self.matching(segment["where"], zone)
        for node in segment.get("exclude", []):
            kept -= self.matching(written_out(node), zone)
        if "sample" in segment:
            kept = {contact for contact in kept if self.sampled(contact, segment["sample"])}
        return self.limited(kept, segment["limit"], zone) if "limit" in segment else kept

    def sampled(self, contact: str, sample: Mapping[str, Any]) -> bool:
        return place(sample["seed"], contact) < sample["percent"] * 100

    def limited(self, kept: set[str], limit: Mapping[str, Any], zone: ZoneInfo) -> set[str]:
        name, _, direction = limit.get("order_by", "contact_id").partition(" ")
        if name in self.contacts[0]:
            values = {one["contact_id"]: one[name] for one in self.contacts if one[name] is not None}
        else:
            values = self.values(name, zone)
        sign = -1 if direction == "desc" else 1
        having = sorted(kept & set(values), key=lambda one: (sign * rank(values, one), one))
        return set([*having, *sorted(kept - set(having))][: limit["n"]])

    def row(self, contact: str) -> dict[str, Any]:
        return next(one for one in self.contacts if one["contact_id"] == contact)


def rank(values: Mapping[str, Any], contact: str) -> int:
    return sum(sortable(value) < sortable(values[contact]) for value in values.values())


def sortable(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def written_out(node: Any) -> Any:
    kind, _, name = node.partition(":") if isinstance(node, str) else ("", "", "")
    return {kind: name} if kind else node
