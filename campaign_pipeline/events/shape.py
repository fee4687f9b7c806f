"""What a payload looks like without what it says: enough to see why it was not understood, and nobody's data."""

import re
from collections.abc import Iterator
from typing import Any, cast

import orjson

MOST = 160
"""Characters of a shape."""

_FIELD = re.compile(r"[A-Za-z][A-Za-z_-]{0,30}(\.[A-Za-z_-]{1,30})?")
"""What may be told as it is: names of fields. Whatever has a digit, a space or an @ may be an address or a key."""
_DEEPEST = 8


def shape_of(content: str) -> str:
    """Of JSON the names of its fields and the kinds of their values; of any other text its letters as `a`, digits as 9.

    Cut after MOST characters.
    """
    try:
        data: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        return _cut(_masked(content[: MOST + 1]))
    return _cut("".join(_of(data)))


def _of(value: Any, depth: int = 0) -> Iterator[str]:
    if depth > _DEEPEST:
        yield "…"
        return
    match value:
        case dict():
            yield "{"
            for number, (name, part) in enumerate(cast("dict[str, Any]", value).items()):
                yield f"{', ' if number else ''}{name if _FIELD.fullmatch(name) else _masked(name)}: "
                yield from _of(part, depth + 1)
            yield "}"
        case list():
            items = cast("list[Any]", value)
            yield "["
            yield from _of(items[0], depth + 1) if items else ()
            yield ", …]" if len(items) > 1 else "]"
        case None:
            yield "null"
        case _:
            yield {str: "text", bool: "bool"}.get(type(value), "number")


def _masked(text: str) -> str:
    return "".join(
        "a" if each.isalpha() else "9" if each.isdigit() else each if each.isascii() else "?" for each in text
    )


def _cut(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= MOST else f"{plain[:MOST]}…"
