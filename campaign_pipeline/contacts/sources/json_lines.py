"""JSON lines: one object a line, a column for every name that any of them has."""

import json
from json import JSONDecodeError
from pathlib import Path
from typing import Any, NoReturn

from campaign_pipeline.contacts.rejects import Reject
from campaign_pipeline.contacts.sources.lines import open_lines
from campaign_pipeline.contacts.sources.plain import TextColumns
from campaign_pipeline.contacts.sources.table import BLOCK, Table, without_nul
from campaign_pipeline.core.errors import InvalidInput


def read_json_lines(file: Path) -> Table:
    """The objects of `file` (UTF-8); a name that an object lacks is null there, nested values are JSON text.

    Rejects: lines that are not one JSON object, that name something twice, or hold what is no text (a NUL, half a
    surrogate pair). Numbers keep all their digits. InvalidInput: the file cannot be read, or has no object at all.
    """
    text = TextColumns()
    rejects: list[Reject] = []
    numbers: list[int] = []
    objects: list[dict[str, Any]] = []
    with open_lines(file, "utf-8") as lines:
        for line in lines:
            if line.strip():
                try:
                    objects.append(_object(line))
                    numbers.append(lines.number)
                except _Unusable as error:
                    rejects.append(Reject(lines.number, error.reason, line))
            lines.record.clear()
            if len(objects) == BLOCK:
                _add(text, numbers, objects)
                numbers, objects = [], []
    _add(text, numbers, objects)
    rows = text.rows()
    if rows.width == 1:
        why = f": line {rejects[0].line} {rejects[0].reason}" if rejects else ""
        raise InvalidInput(f"{file} holds no objects{why}", 'Each line must be one, such as {"id": "1"}.')
    return without_nul(Table(rows, rejects, text.types()))


class _Unusable(ValueError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _object(line: str) -> dict[str, Any]:
    try:
        found = _DECODER.decode(line)
    except JSONDecodeError as error:
        raise _Unusable(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise _Unusable("is nested too deep") from None
    except _Unusable:
        raise
    except ValueError:  # an integer of more digits than Python reads
        raise _Unusable("holds a number with too many digits") from None
    if not isinstance(found, dict):
        raise _Unusable("is not a JSON object")
    if "\\u" in line and not _is_text(found):
        raise _Unusable("holds half a surrogate pair, which is no character")
    return found  # pyright: ignore[reportUnknownVariableType]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        plain = name.strip() or "column"
        if plain in found:
            raise _Unusable(f"names {plain!r} twice")
        found[plain] = value
    return found


def _no_number(text: str) -> NoReturn:
    raise _Unusable(f"holds {text}, which is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)


def _is_text(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _add(text: TextColumns, numbers: list[int], objects: list[dict[str, Any]]) -> None:
    names: dict[str, None] = {}
    for item in objects:
        names.update(dict.fromkeys(item))
    text.add(numbers, {name: [item.get(name) for item in objects] for name in names})
