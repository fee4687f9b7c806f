"""The tree of a segment: groups, references, and leaves of many kinds.

To add a kind of leaf: write it as a file under nodes/, and give it a node class and a place in NODE_TYPES and `Node`
below. Nothing else knows the kinds, but tests/unit/segments, which fails until it compares the new one as well.
"""

import difflib
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import NAME, check_name
from campaign_pipeline.segments.nodes.belongs import ListNames, TagNames
from campaign_pipeline.segments.nodes.did import Did
from campaign_pipeline.segments.nodes.engaged import Engaged
from campaign_pipeline.segments.nodes.history import FirstDid, LastDid, Restarted, Stopped
from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.nodes.limit import Limit
from campaign_pipeline.segments.nodes.measured import Measured
from campaign_pipeline.segments.nodes.reachable import ReachableBy
from campaign_pipeline.segments.nodes.rfm import Rfm
from campaign_pipeline.segments.nodes.sample import Sample
from campaign_pipeline.segments.nodes.sequence import Sequence
from campaign_pipeline.segments.nodes.trait import Trait
from campaign_pipeline.segments.operators import not_empty


def _checked(kind: str) -> Callable[[str], str]:
    def check(name: str) -> str:
        try:
            return check_name(kind, name)
        except InvalidInput as error:
            raise ValueError(f"{error.message}. {error.hint}") from None

    return check


_PATTERN = Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"})

Name = Annotated[str, AfterValidator(_checked("segment")), _PATTERN]
MetricName = Annotated[str, AfterValidator(_checked("metric")), _PATTERN]


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


class FirstDidNode(LeafNode):
    first_did: FirstDid


class LastDidNode(LeafNode):
    last_did: LastDid


class StoppedNode(LeafNode):
    stopped: Stopped


class RestartedNode(LeafNode):
    restarted: Restarted


class SequenceNode(LeafNode):
    sequence: Sequence


class EngagedNode(LeafNode):
    engaged: Engaged


class ListNode(LeafNode):
    list: ListNames


class TagNode(LeafNode):
    tag: TagNames


class ReachableNode(LeafNode):
    reachable: ReachableBy


class MetricNode(LeafNode):
    metric: Measured


class RfmNode(LeafNode):
    rfm: Rfm


NODE_TYPES: dict[str, type[Definition]] = {
    "all": AllNode,
    "any": AnyNode,
    "not": NotNode,
    "trait": TraitNode,
    "did": DidNode,
    "first_did": FirstDidNode,
    "last_did": LastDidNode,
    "stopped": StoppedNode,
    "restarted": RestartedNode,
    "sequence": SequenceNode,
    "engaged": EngagedNode,
    "list": ListNode,
    "tag": TagNode,
    "reachable": ReachableNode,
    "metric": MetricNode,
    "rfm": RfmNode,
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
    | Annotated[FirstDidNode, Tag("first_did")]
    | Annotated[LastDidNode, Tag("last_did")]
    | Annotated[StoppedNode, Tag("stopped")]
    | Annotated[RestartedNode, Tag("restarted")]
    | Annotated[SequenceNode, Tag("sequence")]
    | Annotated[EngagedNode, Tag("engaged")]
    | Annotated[ListNode, Tag("list")]
    | Annotated[TagNode, Tag("tag")]
    | Annotated[ReachableNode, Tag("reachable")]
    | Annotated[MetricNode, Tag("metric")]
    | Annotated[RfmNode, Tag("rfm")]
    | Annotated[SegmentNode, Tag("segment")],
    Discriminator(_key),
    BeforeValidator(_one_key),
]
Nodes = Annotated[tuple[Node, ...], AfterValidator(not_empty)]


def _written_out(value: Any) -> Any:
    """`list:complaints` is short for `{list: complaints}`."""
    if not isinstance(value, str):
        return value
    kind, _, name = value.partition(":")
    if kind not in ("list", "tag", "segment") or not name.strip():
        raise ValueError("must be list:NAME, tag:NAME, segment:NAME or a node")
    return {kind: name.strip()}


Short = Annotated[str, Field(pattern="^(list|tag|segment):.*[^ ]")]
Excluded = Annotated[Node, BeforeValidator(_written_out, json_schema_input_type=Short | Node)]


class ExcludeNode(NotNode):
    """One item of `exclude`."""


class SampleNode(LeafNode):
    sample: Sample


class LimitNode(LeafNode):
    limit: Limit


class WholeNode(AllNode):
    """All that a segment says: its `where`, then each exclusion, the sample and the limit, as far as there are any."""

    def children(self) -> "list[tuple[str, Node]]":
        excluded = sum(isinstance(node, ExcludeNode) for node in self.all)
        paths = ["where", *(f"exclude.{index}" for index in range(excluded))]
        paths += [next(iter(type(node).model_fields)) for node in self.all[1 + excluded :]]
        return list(zip(paths, self.all, strict=True))


def children(node: Node) -> list[tuple[str, Node]]:
    """The nodes directly below, in order, each with its path from `node`."""
    return node.children() if isinstance(node, AllNode | AnyNode | NotNode) else []


def says(node: Node) -> str:
    """The node in words, without what is below it."""
    match node:
        case WholeNode():
            return "the segment"
        case ExcludeNode():
            return "exclude"
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


for _model in (AllNode, AnyNode, NotNode):
    _model.model_rebuild()
