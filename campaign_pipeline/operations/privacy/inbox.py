"""The contact in what providers posted: told, or blotted out where it stands.

The receiver may be writing to a file of the inbox, and cursors count its bytes: a line is overwritten in place with
one of the same length, so that nothing moves. What of the line is about others stays.
"""

import os
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.events.record import Record, from_line
from campaign_pipeline.operations.privacy.person import Person

ERASED = b'{"erased":true}'
"""What is left of a line of which nothing may stay; where it has not been read yet, it is set aside as unreadable."""


def find(folder: Path, person: Person) -> Iterator[dict[str, Any]]:
    """{file, received_at, provider, kind, query, content} of each record or item that names the contact."""
    for path, _, line in _lines(folder, person):
        try:
            record = from_line(line)
        except InvalidInput:
            if _line_names(line, person):
                yield {"file": path.name, "content": line.decode("utf-8", "replace")}
            continue
        head = {"file": path.name, "received_at": record.received_at, "provider": record.provider, "kind": record.kind}
        for content in _items(record, person):
            yield head | {"query": dict(record.query), "content": content}


def erase(folder: Path, person: Person) -> int:
    """Overwrite what names the contact; the number of lines."""
    done = 0
    for path, position, line in _lines(folder, person):
        left = _without(line, person)
        if left is None:
            continue
        with path.open("r+b") as file:
            file.seek(position)
            file.write(left.ljust(len(line)))
            file.flush()
            os.fsync(file.fileno())
        done += 1
    return done


def _lines(folder: Path, person: Person) -> Iterator[tuple[Path, int, bytes]]:
    """(file, position, line) of the whole lines that may name the contact, in the inbox and in what was set aside."""
    for path in sorted([*folder.glob("*.jsonl"), *folder.glob("rejected/*.jsonl")]):
        with path.open("rb") as file:
            position = 0
            for line in file:
                if line.endswith(b"\n") and person.may_be_in(line):
                    yield path, position, line[:-1]
                position += len(line)


def _items(record: Record, person: Person) -> list[Any]:
    """What of the record's body is about the contact."""
    items = _array(record)
    if items is not None:
        return [item for item in items if _names(item, person)]
    return [record.body] if _record_names(record, person) else []


def _without(line: bytes, person: Person) -> bytes | None:
    """What may stay of `line`, not longer than it; None if nothing of it is about the contact."""
    try:
        record = from_line(line)
    except InvalidInput:
        return ERASED[: len(line)] if _line_names(line, person) else None
    items = _array(record)
    if items is None:
        return ERASED if _record_names(record, person) else None
    others = [item for item in items if not _names(item, person)]
    if len(others) == len(items):
        return None
    fields = orjson.loads(line)
    fields.pop("encoding", None)
    fields["body"] = orjson.dumps(others).decode()
    shorter = orjson.dumps(fields)
    return shorter if len(shorter) <= len(line) else ERASED


def _array(record: Record) -> list[Any] | None:
    """The items of a body that is a JSON array: one post about many contacts."""
    try:
        body: Any = orjson.loads(record.body)
    except orjson.JSONDecodeError:
        return None
    return cast("list[Any]", body) if isinstance(body, list) else None


def _names(item: Any, person: Person) -> bool:
    return any(person.is_in(text) for text in _texts(item))


def _record_names(record: Record, person: Person) -> bool:
    return person.is_in(record.body) or any(person.is_in(value) for value in record.query.values())


def _line_names(line: bytes, person: Person) -> bool:
    """Of a line that is no record: one that was set aside, that is torn, or whose body is no text."""
    try:
        data: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return person.is_in(line.decode("utf-8", "replace"))
    return any(person.is_in(text) or person.is_in(_from_base64(text)) for text in _texts(data))


def _from_base64(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode("latin-1")
    except ValueError:
        return ""


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for part in cast("dict[str, Any]", value).values():
                yield from _texts(part)
        case list():
            for part in cast("list[Any]", value):
                yield from _texts(part)
        case _:
            return
