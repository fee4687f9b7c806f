"""A segment as its author writes it: a name, a time zone, and a tree of nodes.

    segment: lapsed_buyers
    where:
      all:
        - trait: {field: country, in: [DE, AT]}
        - did: {event: purchase, count: {gte: 2}, within: 365d}
        - not: {did: {event: purchase, within: 30d}}
    exclude: [list:complaints]
    sample: {percent: 10, seed: spring}

All of it is one tree: `where`, then each exclusion, the sample and the limit (see `root`).
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import Field, model_validator

from campaign_pipeline.core.definitions import Definition, read_definition
from campaign_pipeline.segments.moments import Zone
from campaign_pipeline.segments.nodes.limit import Limit
from campaign_pipeline.segments.nodes.metric import Metric
from campaign_pipeline.segments.nodes.sample import Sample
from campaign_pipeline.segments.tree import (
    Excluded,
    ExcludeNode,
    LimitNode,
    MetricName,
    MetricNode,
    Name,
    Node,
    SampleNode,
    WholeNode,
    children,
)

MAX_DEPTH = 20
MAX_NODES = 500
"""Bounds of a tree, segments that it refers to included."""


class Segment(Definition):
    """A rule that says who; it reads dates and windows in `timezone`."""

    segment: Name
    description: str = ""
    timezone: Zone = "UTC"
    metrics: dict[MetricName, Metric] = Field({}, max_length=50)
    where: Node
    exclude: tuple[Excluded, ...] = ()
    sample: Sample | None = None
    limit: Limit | None = None

    @property
    def root(self) -> Node:
        """The one tree of which `where` is a part, or all."""
        after: list[Any] = [ExcludeNode.model_construct(not_=node) for node in self.exclude]
        after += [SampleNode.model_construct(sample=self.sample)] if self.sample else []
        after += [LimitNode.model_construct(limit=self.limit)] if self.limit else []
        return WholeNode.model_construct(all=(self.where, *after)) if after else self.where

    @model_validator(mode="before")
    @classmethod
    def _is_bounded(cls, value: Any) -> Any:
        """Refuse a tree that is too large before it is built: building one recurses, and YAML aliases multiply it."""
        if not isinstance(value, dict):
            return value
        excluded: Any = value.get("exclude") or []
        after = [key for key in ("exclude", "sample", "limit") if value.get(key)]
        nodes = len(after)
        depth = 2 if after else 1
        waiting: list[tuple[Any, int]] = [(value.get("where"), depth)]
        waiting += [(node, depth + 1) for node in excluded] if isinstance(excluded, list | tuple) else []
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

    @model_validator(mode="after")
    def _declares_its_metrics(self) -> Self:
        for line in walk(self):
            name = line.node.metric.name if isinstance(line.node, MetricNode) else None
            if name is not None and name not in self.metrics:
                near = difflib.get_close_matches(name, self.metrics, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(self.metrics) or 'none'}"
                raise ValueError(f"{line.path}.metric.name: metrics has no {name!r}; {hint}")
        return self


class Line(NamedTuple):
    """A node at its place: `path` as in the file (where.all.0; of the whole ""), depth of the root 0."""

    path: str
    depth: int
    node: Node


def check_bounds(depth: int, nodes: int) -> None:
    """ValueError for a tree that is too deep or too large."""
    if depth > MAX_DEPTH:
        raise ValueError(f"where: is more than {MAX_DEPTH} levels deep; make parts of it segments of their own")
    if nodes > MAX_NODES:
        raise ValueError(f"where: has more than {MAX_NODES} nodes")


def walk(segment: Segment) -> Iterator[Line]:
    """Every node of the tree, parents before children, in the order of the file."""
    waiting = [Line(root_path(segment), 0, segment.root)]
    while waiting:
        line = waiting.pop()
        yield line
        below = [Line(join(line.path, path), line.depth + 1, node) for path, node in children(line.node)]
        waiting += reversed(below)


def root_path(segment: Segment) -> str:
    return "" if isinstance(segment.root, WholeNode) else "where"


def join(path: str, below: str) -> str:
    """The path of a node from that of the one above it."""
    return f"{path}.{below}" if path else below


def read_segment_file(file: Path) -> Segment:
    """The segment in `file`; InvalidDefinition names file, line and field."""
    return read_definition(file, Segment)
