"""A segment as its author writes it: a name, a time zone, and a tree of nodes.

    segment: lapsed_buyers
    where:
      all:
        - trait: {field: country, in: [DE, AT]}
        - did: {event: purchase, count: {gte: 2}, within: 365d}
        - not: {did: {event: purchase, within: 30d}}

To add a kind of leaf: write it as a file under nodes/, and give it a node class and a place in NODE_TYPES and `Node`
below. Nothing else knows the kinds, but tests/unit/segments, which fails until it compares the new one as well.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from campaign_pipeline.core.definitions import Definition, read_definition
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import check_name
from campaign_pipeline.segments.moments import Zone
from campaign_pipeline.segments.nodes.did import Did
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.nodes.trait import Trait
from campaign_pipeline.segments.operators import not_empty

MAX_DEPTH = 20
MAX_NODES = 500
"""Bounds of a tree, segments that it refers to included."""


def _name(name: str) -> str:
    try:
        return check_name("segment", name)
    except InvalidInput as error:
        raise ValueError(f"{error.message}. {error.hint}") from None


Name = Annotated[str, BeforeValidator(lambda value: _name(value) if isinstance(value, str) else value)]


class AllNode(Definition):
    """Matches what every one of its nodes matches."""

    all: "Nodes"

    def children(self) -> "list[tuple[str, Node]]":
        return [(f"all.{index}", node) for index, node in enumerate(self.all)]


class AnyNode(Definition):
    """Matches what at least one of its nodes matches."""

    any: "Nodes"

    def children(self) -> "list[tuple[str, Node]]":
        return [(f"any.{index}", node) for index, node in enumerate(self.any)]


class NotNode(Definition):
    """Matches exactly what its node does not match."""

    not_: "Node" = Field(alias="not")

    def children(self) -> "list[tuple[str, Node]]":
        return [("not", self.not_)]


class SegmentNode(Definition):
    """Matches what another segment matches, as that one says it and in its time zone."""

    segment: Name


class LeafNode(Definition):
    """A node that holds a leaf under its one key."""

    @property
    def leaf(self) -> Leaf:
        (key,) = type(self).model_fields
        return getattr(self, key)


class TraitNode(LeafNode):
    trait: Trait


class DidNode(LeafNode):
    did: Did


NODE_TYPES: dict[str, type[Definition]] = {
    "all": AllNode,
    "any": AnyNode,
    "not": NotNode,
    "trait": TraitNode,
    "did": DidNode,
    "segment": SegmentNode,
}
KEYS = ", ".join(NODE_TYPES)


def _one_key(value: Any) -> Any:
    if isinstance(value, Definition):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"a node is a mapping with exactly one of {KEYS}")
    keys = [str(key) for key in value]  # pyright: ignore[reportUnknownVariableType]
    if len(keys) == 1 and keys[0] in NODE_TYPES:
        return value  # pyright: ignore[reportUnknownVariableType]
    near = difflib.get_close_matches(keys[0], NODE_TYPES, n=1) if len(keys) == 1 else []
    meant = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"{', '.join(keys) or 'nothing'}: a node has exactly one of {KEYS}{meant}")


def _key(value: Any) -> str:
    if isinstance(value, Definition):
        return next(key for key, model in NODE_TYPES.items() if isinstance(value, model))
    return next(iter(value))


Node = Annotated[
    Annotated[AllNode, Tag("all")]
    | Annotated[AnyNode, Tag("any")]
    | Annotated[NotNode, Tag("not")]
    | Annotated[TraitNode, Tag("trait")]
    | Annotated[DidNode, Tag("did")]
    | Annotated[SegmentNode, Tag("segment")],
    Discriminator(_key),
    BeforeValidator(_one_key),
]
Nodes = Annotated[tuple[Node, ...], AfterValidator(not_empty)]


class Segment(Definition):
    """A rule that says who; it reads dates and windows in `timezone`."""

    segment: Name
    description: str = ""
    timezone: Zone = "UTC"
    where: Node

    @model_validator(mode="before")
    @classmethod
    def _is_bounded(cls, value: Any) -> Any:
        """Refuse a tree that is too large before it is built: building one recurses, and YAML aliases multiply it."""
        waiting: list[tuple[Any, int]] = [(value.get("where"), 1)] if isinstance(value, dict) else []
        nodes = 0
        while waiting:
            node, depth = waiting.pop()
            if not isinstance(node, dict):
                continue
            nodes += 1
            check_bounds(depth, nodes)
            for key in ("all", "any"):
                inner: Any = node.get(key)
                waiting += [(child, depth + 1) for child in inner] if isinstance(inner, list | tuple) else []
            waiting.append((node.get("not"), depth + 1))
        return value


class Line(NamedTuple):
    """A node at its place: `path` as in the file (where.all.0), depth of the root 0."""

    path: str
    depth: int
    node: Node


def check_bounds(depth: int, nodes: int) -> None:
    """ValueError for a tree that is too deep or too large."""
    if depth > MAX_DEPTH:
        raise ValueError(f"where: is more than {MAX_DEPTH} levels deep; make parts of it segments of their own")
    if nodes > MAX_NODES:
        raise ValueError(f"where: has more than {MAX_NODES} nodes")


def children(node: Node) -> list[tuple[str, Node]]:
    """The nodes directly below, in order, each with its path from `node`."""
    return node.children() if isinstance(node, AllNode | AnyNode | NotNode) else []


def walk(segment: Segment) -> Iterator[Line]:
    """Every node of the tree, parents before children, in the order of the file."""
    waiting = [Line("where", 0, segment.where)]
    while waiting:
        line = waiting.pop()
        yield line
        below = [Line(f"{line.path}.{path}", line.depth + 1, node) for path, node in children(line.node)]
        waiting += reversed(below)


def says(node: Node) -> str:
    """The node in words, without what is below it."""
    match node:
        case AllNode():
            return "all of"
        case AnyNode():
            return "any of"
        case NotNode():
            return "not"
        case SegmentNode():
            return f"in segment {node.segment}"
        case _:
            return node.leaf.says()


def read_segment_file(file: Path) -> Segment:
    """The segment in `file`; InvalidDefinition names file, line and field."""
    return read_definition(file, Segment)


for _model in (AllNode, AnyNode, NotNode, Segment):
    _model.model_rebuild()
