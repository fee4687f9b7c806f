"""Checks answers against the providers' own OpenAPI files."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator


@cache
def document(file: Path) -> dict[str, Any]:
    """The file with OpenAPI 3.0's `nullable` said as JSON Schema says it."""
    return _nullable(json.loads(file.read_text()))


def check(file: Path, schema: dict[str, Any], answer: object) -> None:
    """Fails with the first place where `answer` is not what `schema` (in `file`) promises."""
    whole = {**schema, "components": document(file)["components"]}
    Draft202012Validator(whole).validate(answer)


def component(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def response(file: Path, path: str, method: str, status: int) -> dict[str, Any]:
    """The schema of one answer of one operation."""
    doc = document(file)
    found = doc["paths"][path][method]["responses"][str(status)]
    if "$ref" in found:
        found = doc["components"]["responses"][found["$ref"].rsplit("/", 1)[1]]
    return found["content"]["application/json"]["schema"]


def _nullable(node: Any) -> Any:
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {name: _nullable(value) for name, value in node.items()}
    if node.get("nullable") is True and isinstance(node.get("type"), str):
        node["type"] = [node["type"], "null"]
    return node
