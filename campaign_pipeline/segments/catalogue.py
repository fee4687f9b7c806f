"""What a segment may name: fields of the contact snapshot, events, and their properties, with their types."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import duckdb
import polars as pl

from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.lake import Lake

CONTACTS = "contact_snapshot"
EVENTS = "behaviour"

T = TypeVar("T")


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


@dataclass(frozen=True)
class Catalogue:
    """The allow-list: nothing else reaches SQL as a name."""

    fields: Mapping[str, Kind]
    events: Mapping[str, Properties]

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


def read_catalogue(lake: Lake) -> Catalogue:
    """What the lake holds now. NotFound without a contact snapshot.

    Behaviour files never change once written, so each is scanned once a process (0.8 s for 5 million events).
    """
    snapshot = lake.path(CONTACTS)
    if not snapshot.exists():
        raise NotFound(
            "there is no contact snapshot", "Import contacts (campaigns contacts import FILE) and materialise it."
        )
    kinds = {name: _kind_of(dtype) for name, dtype in pl.scan_parquet(snapshot, glob=False).collect_schema().items()}
    fields = {name: kind for name, kind in kinds.items() if kind}
    events: dict[str, dict[str, frozenset[Kind]]] = {}
    for partition in lake.partitions(EVENTS):
        path = lake.path(EVENTS, partition)
        stat = path.stat()
        for event, name, kind in _scan(path, (stat.st_size, stat.st_mtime_ns)):
            properties = events.setdefault(event, {})
            if name is not None:
                properties[name] = properties.get(name, frozenset[Kind]()) | ({kind} if kind else set[Kind]())
    return Catalogue(MappingProxyType(fields), MappingProxyType(events))


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


@lru_cache(maxsize=4096)
def _scan(path: Path, _stamp: tuple[int, int]) -> tuple[tuple[str, str | None, Kind | None], ...]:
    """(event, property, kind) as they occur in one behaviour file; (event, None, None) for each event."""
    with duckdb.connect() as connection:
        rows = connection.execute(_SCAN, {"file": glob_literal(path)}).fetchall()
    return tuple((event, name, _JSON_KINDS[json_type] if json_type else None) for event, name, json_type in rows)


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
