"""The JSON Schema of segment files, for editors: it completes fields and marks what is wrong while somebody types.

It knows fields, types, and that exactly one of several is needed. What depends on the data, and what compares fields
with each other, only reading and previewing a segment tells.
"""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.nodes.measured import TESTS, Measured
from campaign_pipeline.segments.nodes.metric import MEASURES, Metric
from campaign_pipeline.segments.nodes.rfm import PARTS
from campaign_pipeline.segments.operators import Comparison, Operator
from campaign_pipeline.segments.thresholds import Threshold
from campaign_pipeline.segments.tree import NODE_TYPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Written(GenerateJsonSchema):
    """What is written in files: a field that is not there is left out, never null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        written = super().default_schema(schema)
        if (default := written.pop("default", None)) is not None:
            written["default"] = _without_nulls(default)
        return written

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def segment_schema() -> dict[str, Any]:
    """The schema of one segment (draft 2020-12)."""
    schema = Segment.model_json_schema(schema_generator=_Written)
    names = [model.__name__ for model in NODE_TYPES.values()]
    schema = _with_node(schema, [{"$ref": f"#/$defs/{name}"} for name in names])
    found = schema["$defs"]
    found["Node"] = _node([found.pop(name) for name in names])
    for model, names in _exactly_one():
        if model.__name__ in found:
            found[model.__name__]["oneOf"] = [{"required": [name]} for name in names]
    found["Rfm"] |= {"anyOf": [{"required": [part]} for part in PARTS], "dependentRequired": {"monetary": ["amount"]}}
    schema["properties"]["metrics"]["additionalProperties"] = False  # beside names that fit the pattern
    return {"$schema": DIALECT, **schema}


def _with_node(schema: Any, union: list[dict[str, str]]) -> Any:
    """The schema, with a reference to one definition wherever it has the union of all nodes."""
    if isinstance(schema, list):
        return [_with_node(each, union) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("oneOf") == union:
        return {"$ref": "#/$defs/Node"}
    return {key: _with_node(each, union) for key, each in schema.items()}


def _node(models: list[dict[str, Any]]) -> dict[str, Any]:
    """One mapping with one of all keys: in it editors find more than in one of many mappings with one key."""
    properties: dict[str, Any] = {}
    for model in models:
        ((key, value),) = model["properties"].items()
        properties[key] = value | ({"description": model["description"]} if "description" in model else {})
    one = {"minProperties": 1, "maxProperties": 1, "additionalProperties": False}
    return {"type": "object", "properties": properties, **one}


def _without_nulls(default: Any) -> Any:
    if isinstance(default, dict):
        return {key: value for key, value in default.items() if value is not None}
    return default


def schema_text() -> str:
    """The schema as it stands in docs/segment.schema.json."""
    return json.dumps(segment_schema(), indent=2, ensure_ascii=False) + "\n"


def _exactly_one() -> list[tuple[type[Definition], list[str]]]:
    """Models of whose fields exactly one of some is needed, and these."""
    thresholds = [model for model in [Threshold, *_below(Threshold)] if model is not Measured]
    comparisons = [Comparison, *_below(Comparison)]
    return [
        *((model, list(Threshold.model_fields)) for model in thresholds),
        *((model, list(Operator)) for model in comparisons),
        (Measured, list(TESTS)),
        (Metric, list(MEASURES)),
    ]


def _below(model: type[Definition]) -> list[type[Definition]]:
    return [each for child in model.__subclasses__() for each in (child, *_below(child))]
