"""What a segment may name: fields of the contact snapshot, events and their properties, lists, tags, campaigns."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import duckdb
import polars as pl

from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.lake import Lake

CONTACTS = "contact_snapshot"
EVENTS = "behaviour"
MESSAGES = "message_facts"
GROUPS = {"list": "lists", "tag": "tags"}
"""The column of the contact snapshot with the names of each."""

T = TypeVar("T")

NEW_SNAPSHOT = "Take a new snapshot: materialise contact_snapshot."


class Kind(StrEnum):
    """The type of a field, a property or a value; the words stand in messages."""

    TEXT = "text"
    INTEGER = "whole number"  # fields only: numbers in properties are all NUMBER
    NUMBER = "number"
    BOOLEAN = "true/false"
    MOMENT = "time"  # fields only: JSON has no times
    OTHER = "list or object"  # properties only: nothing in the language compares them yet


Properties = Mapping[str, frozenset[Kind]]
"""The kinds seen under each property name; more than one if the source mixes them."""


Variants = Mapping[str, frozenset[str]]
"""The variants of each campaign, by its name."""


@dataclass(frozen=True)
class Catalogue:
    """The allow-list: nothing else reaches SQL as a name.

    `groups`: for list and tag, if the snapshot has them, what gives the names that some contact has. `sent`: what
    gives the campaigns that messages are known of. Both are functions, because few segments need what they read.
    """

    fields: Mapping[str, Kind]
    events: Mapping[str, Properties]
    groups: Mapping[str, Callable[[], frozenset[str]]] = field(default_factory=dict[str, Callable[[], frozenset[str]]])
    sent: Callable[[], Variants] = dict[str, frozenset[str]]

    def field(self, name: str) -> Kind:
        return _find("field", name, self.fields, f"There are: {', '.join(self.fields)}.")

    def event(self, name: str) -> Properties:
        if not self.events:
            raise InvalidInput(
                f"event {name!r}: no events were imported yet", "Import them with: campaigns events import FILE"
            )
        return _find("event", name, self.events, "Events are imported with: campaigns events import FILE")

    def property(self, event: str, name: str) -> frozenset[Kind]:
        properties = self.event(event)
        return _find(f"property of {event}", name, properties, f"There are: {', '.join(properties) or 'none'}.")

    def group(self, kind: str, name: str) -> str:
        """The column of the snapshot that names the contact's lists or tags; InvalidInput if nobody's holds `name`."""
        if kind not in self.groups:
            raise InvalidInput(f"{kind} {name!r}: the contact snapshot is older than {kind}s", NEW_SNAPSHOT)
        names = sorted(self.groups[kind]())
        if name not in names:
            known = f"There are: {', '.join(names[:20])}{', ...' if names[20:] else ''}." if names else ""
            raise InvalidInput(f"{kind} {name!r}: no contact has it", nearest(name, names) or known)
        return GROUPS[kind]

    def check_engagement(self, campaigns: Iterable[str], variants: Iterable[str]) -> None:
        """InvalidInput if messages are known, but none of one of the campaigns, or no variant of theirs has the name.

        Without campaigns, those of all campaigns have.
        """
        if sent := self.sent():
            found = [
                _find("campaign", name, sent, f"There are: {', '.join(sorted(sent))}.") for name in campaigns
            ] or sent.values()
            known = dict.fromkeys(sorted(frozenset[str]().union(*found)))
            for name in variants:
                _find("variant", name, known, f"There are: {', '.join(known) or 'none'}.")


SeenProperty = tuple[str, str | None, Kind | None]
"""(event, property, its kind; None for null) as they occur somewhere; (event, None, None) for each event."""


def read_catalogue(
    lake: Lake, campaigns: Variants = MappingProxyType({}), seen: Iterable[SeenProperty] | None = None
) -> Catalogue:
    """What the lake holds now. NotFound without a contact snapshot.

    `campaigns`: those that are defined, which segments may name before they have any message. `seen`: of all behaviour
    files, if it is known.

    Behaviour files never change once written, so each is scanned once a process (0.8 s for 5 million events).
    """
    snapshot = lake.path(CONTACTS)
    if not snapshot.exists():
        raise NotFound(
            "there is no contact snapshot", "Import contacts (campaigns contacts import FILE) and materialise it."
        )
    schema = pl.scan_parquet(snapshot, glob=False).collect_schema()
    kinds = {name: _kind_of(dtype) for name, dtype in schema.items()}
    fields = {name: kind for name, kind in kinds.items() if kind}
    if seen is None:
        files = (lake.path(EVENTS, partition) for partition in lake.partitions(EVENTS))
        seen = (one for file in files for one in seen_properties(file))
    events: dict[str, dict[str, frozenset[Kind]]] = {}
    for event, name, kind in seen:
        properties = events.setdefault(event, {})
        if name is not None:
            properties[name] = properties.get(name, frozenset[Kind]()) | ({kind} if kind else set[Kind]())
    groups = {
        kind: partial(_group_names, snapshot, _stamp(snapshot), column)
        for kind, column in GROUPS.items()
        if schema.get(column) == pl.List(pl.String)
    }
    sent = partial(_sent, lake, campaigns)
    return Catalogue(MappingProxyType(fields), MappingProxyType(events), MappingProxyType(groups), sent)


def _kind_of(dtype: pl.DataType) -> Kind | None:
    """None: a column of a type that segments do not know, so its name is not in the language."""
    if dtype == pl.Boolean:
        return Kind.BOOLEAN
    if dtype.is_integer():
        return Kind.INTEGER
    if dtype.is_numeric():
        return Kind.NUMBER
    if dtype == pl.String:
        return Kind.TEXT
    return Kind.MOMENT if isinstance(dtype, pl.Datetime) else None


_JSON_KINDS = {
    "UBIGINT": Kind.NUMBER,
    "BIGINT": Kind.NUMBER,
    "HUGEINT": Kind.NUMBER,
    "DOUBLE": Kind.NUMBER,
    "VARCHAR": Kind.TEXT,
    "BOOLEAN": Kind.BOOLEAN,
    "ARRAY": Kind.OTHER,
    "OBJECT": Kind.OTHER,
    "NULL": None,
}

_SCAN = """
WITH keys AS (SELECT event, properties, unnest(json_keys(properties)) AS name FROM read_parquet($file))
SELECT DISTINCT event, name, json_type(properties, '/' || replace(replace(name, '~', '~0'), '/', '~1')) FROM keys
UNION ALL
SELECT DISTINCT event, NULL, NULL FROM read_parquet($file)
"""


def seen_properties(file: Path) -> tuple[SeenProperty, ...]:
    """What occurs in one behaviour file."""
    return _scan(file, _stamp(file))


@lru_cache(maxsize=4096)
def _scan(path: Path, _stamp: tuple[int, int]) -> tuple[SeenProperty, ...]:
    with duckdb.connect() as connection:
        rows = connection.execute(_SCAN, {"file": glob_literal(path)}).fetchall()
    return tuple((event, name, _JSON_KINDS[json_type] if json_type else None) for event, name, json_type in rows)


@lru_cache(maxsize=16)
def _group_names(snapshot: Path, _stamp: tuple[int, int], column: str) -> frozenset[str]:
    """The lists or tags that some contact has (0.5 s for 10 million contacts)."""
    query = f"SELECT DISTINCT unnest({column}) FROM read_parquet($file)"
    with duckdb.connect() as connection:
        return frozenset(name for (name,) in connection.execute(query, {"file": glob_literal(snapshot)}).fetchall())


def _sent(lake: Lake, campaigns: Variants) -> Variants:
    """The campaigns and variants of the messages in the lake, and `campaigns`; nothing if there is no message."""
    sent: dict[str, frozenset[str]] = {}
    for partition in lake.partitions(MESSAGES):
        path = lake.path(MESSAGES, partition)
        for campaign, variant in _scan_messages(path, _stamp(path)):
            variants = frozenset[str]() if variant is None else frozenset({variant})
            sent[campaign] = sent.get(campaign, frozenset[str]()) | variants
    if sent:
        for name, variants in campaigns.items():
            sent[name] = sent.get(name, frozenset[str]()) | variants
    return sent


@lru_cache(maxsize=4096)
def _scan_messages(path: Path, _stamp: tuple[int, int]) -> tuple[tuple[str, str | None], ...]:
    """(campaign, variant) as they occur in the facts of one run."""
    with duckdb.connect() as connection:
        query = "SELECT DISTINCT campaign, variant FROM read_parquet($file)"
        return tuple(connection.execute(query, {"file": glob_literal(path)}).fetchall())


def _stamp(path: Path) -> tuple[int, int]:
    """Changes when the file does."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def glob_literal(path: Path) -> str:
    """`path` as a pattern that matches itself only: DuckDB reads * ? [ in file names as wildcards."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path.resolve()))


def _find(kind: str, name: str, known: Mapping[str, T], hint: str) -> T:
    if name in known:
        return known[name]
    raise InvalidInput(f"{kind} {name!r} is not known", nearest(name, known) or hint)


def nearest(name: str, known: Iterable[str]) -> str:
    """`Did you mean ...?`, or nothing if no known name is near."""
    found = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {found[0]!r}?" if found else ""
