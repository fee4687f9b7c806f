"""Which contacts match a node of a tree, as bitmaps: each leaf is asked once a session; groups are combined here."""

from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

from campaign_pipeline.segments.bitmaps import Bitmap
from campaign_pipeline.segments.compiler import Compiler
from campaign_pipeline.segments.definition import Segment, join, root_path
from campaign_pipeline.segments.session import Session
from campaign_pipeline.segments.tree import AllNode, AnyNode, LeafNode, Node, NotNode, SegmentNode, children


@dataclass(frozen=True)
class Answers:
    """The nodes of the segments that `compiled` knows, answered in `session`."""

    session: Session
    compiled: Compiler

    def whole(self, segment: Segment) -> Bitmap:
        """The contacts in `segment`."""
        return self.of(segment, root_path(segment), segment.root)

    def of(self, segment: Segment, path: str, node: Node) -> Bitmap:
        """The contacts that match `node`, which is at `path` of `segment`."""
        match node:
            case AllNode() | AnyNode() | NotNode():
                return self.combine(node, [self.of(segment, join(path, at), child) for at, child in children(node)])
            case _:
                return self.of_leaf(segment, path, node)

    def of_leaf(self, segment: Segment, path: str, node: LeafNode | SegmentNode) -> Bitmap:
        """The contacts that match a node with none below it."""
        if isinstance(node, SegmentNode):
            return self.whole(self.compiled.library[node.segment])
        return self.session.answer(self.compiled.leaf(segment, path, node))

    def combine(self, node: AllNode | AnyNode | NotNode, inner: list[Bitmap]) -> Bitmap:
        """The contacts that match a group, from those that match its nodes; `not` is the complement among contacts."""
        match node:
            case AllNode():
                return reduce(and_, inner)
            case AnyNode():
                return reduce(or_, inner)
            case NotNode():
                return self.session.everyone & ~inner[0]
