"""Reading definition files: YAML or JSON into typed models, with errors that name file, line and field."""

import json
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from yaml.constructor import ConstructorError

from campaign_pipeline.core.errors import InvalidDefinition

MAX_VALUES, MAX_DEPTH = 50_000, 100
"""Keys and items that a definition file may hold, aliases written out; altogether, and inside each other."""

Location = tuple[str | int, ...]
"""Keys and indexes from the top of a file down to a place in it."""

M = TypeVar("M", bound="Definition")


class _Loader(yaml.SafeLoader):
    """YAML whose booleans are `true` and `false` only: in YAML 1.1, which the library reads, Norway (NO) is one too."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # looks like a date or a number and is none, such as 2026-02-30
            problem = f"{str(node.value)[:40]!r} cannot be read: {error}"
            raise ConstructorError(None, None, problem, node.start_mark) from None


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))


class Definition(BaseModel):
    """Base of everything that is written in a definition file: unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_definition(file: Path, model: type[M]) -> M:
    """The definition in `file` as `model`; InvalidDefinition names the first problem and counts the others."""
    data, lines = read_yaml(file)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = problems[0]
        more = f" (and {len(problems) - 1} more in this file)" if len(problems) > 1 else ""
        line, field = _locate(first["loc"], first["type"] == "missing", lines)
        raise InvalidDefinition(file, line, field, _say(first) + more) from None


def read_yaml(file: Path) -> tuple[Any, dict[Location, int]]:
    """The file's data, and the line (from 1) of every key and item by its path. A file named *.json is JSON."""
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            return _read_json(file, text)
        loader = _Loader(text)
        root = loader.get_single_node()
        lines: dict[Location, int] = {}
        if root is not None:
            _walk(file, root, (), lines)  # before the data is made: merging changes the nodes
        return (None if root is None else loader.construct_document(root)), lines
    except RecursionError:
        raise InvalidDefinition(file, 0, "", "is nested too deeply") from None
    except UnicodeDecodeError:
        raise InvalidDefinition(file, 0, "", "is not UTF-8 text") from None
    except OSError as error:
        raise InvalidDefinition(file, 0, "", f"cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "is not YAML"
        raise InvalidDefinition(file, mark.line + 1 if mark else 0, "", str(problem)) from None


def _read_json(file: Path, text: str) -> tuple[Any, dict[Location, int]]:
    """As `read_yaml`. YAML reads some of JSON in another way (1e3 as text, \\/ not at all), so it gives lines only."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise InvalidDefinition(file, 0, "", "a key is given twice in one object")
        return found

    def refused(constant: str) -> Any:
        raise InvalidDefinition(file, 0, "", f"{constant} is not JSON")

    lines: dict[Location, int] = {}
    try:
        json.loads(text)
        # Tabs stand between tokens only: inside of strings JSON does not allow them.
        root = _Loader(text.replace("\t", " ").replace("\\/", "//")).get_single_node()
        if root is not None:
            _walk(file, root, (), lines)
    except json.JSONDecodeError as error:
        raise InvalidDefinition(file, error.lineno, "", f"is not JSON: {error.msg}") from None
    except yaml.YAMLError:
        lines = {(): 1}
    return json.loads(text, object_pairs_hook=once, parse_constant=refused), lines


def _walk(file: Path, node: yaml.Node, at: Location, lines: dict[Location, int]) -> None:
    if len(lines) > MAX_VALUES:  # aliases of aliases multiply
        raise InvalidDefinition(file, 0, "", f"holds more than {MAX_VALUES:,} values")
    if len(at) > MAX_DEPTH:  # an alias can be inside what it stands for
        raise InvalidDefinition(file, 0, "", "is nested too deeply")
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise InvalidDefinition(file, key.start_mark.line + 1, "", "a key must be a single word")
            place = (*at, key.value)
            if place in lines:  # YAML keeps the last of two equal keys in silence
                raise InvalidDefinition(file, key.start_mark.line + 1, str(key.value), "is given twice")
            lines[place] = key.start_mark.line + 1
            _walk(file, value, place, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(file, item, (*at, index), lines)


def _locate(loc: Location, missing: bool, lines: dict[Location, int]) -> tuple[int, str]:
    """The line and dotted path of a pydantic location, whose union tags are no part of the file."""
    path: Location = ()
    for part in loc:
        if (*path, part) in lines:
            path = (*path, part)
    named = (*path, loc[-1]) if missing else path
    return lines.get(path, 1), ".".join(str(part) for part in named)


def _say(problem: Any) -> str:
    """One pydantic problem in the user's words, with the value where it is short."""
    text = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "missing":
        return "is missing"
    if problem["type"] == "extra_forbidden":
        return "is not a field here"
    if problem["type"] == "model_type":
        return "must be a mapping of fields to values"
    value = problem.get("input")
    if isinstance(value, str | int | float | bool) and len(str(value)) <= 60 and repr(value) not in text:
        return f"{text} (it is {value!r})"
    return text
