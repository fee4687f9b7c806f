"""Why a contact is in a segment or not: the tree, with true or false at each line and the values that decided it."""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import sqlalchemy as sa

from campaign_pipeline.segments.answers import Answers
from campaign_pipeline.segments.bitmaps import has
from campaign_pipeline.segments.compiler import Compiler
from campaign_pipeline.segments.definition import Segment, join, root_path
from campaign_pipeline.segments.session import Session
from campaign_pipeline.segments.tree import AllNode, AnyNode, LeafNode, Node, NotNode, SegmentNode, children, says


@dataclass(frozen=True)
class ExplainedLine:
    """A line of `segment` at `path`, `depth` below the root of what is explained; `evidence`: the leaf's values."""

    segment: str
    path: str
    depth: int
    text: str
    matches: bool
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Explanation:
    """`lines`: parents before children; below a reference stand the lines of the segment that it names."""

    segment: str
    contact_id: str
    is_member: bool
    lines: list[ExplainedLine]


def explain_in(session: Session, segment: Segment, compiled: Compiler, contact: str) -> Explanation:
    """Why the contact with this id, or external id, is in `segment` or not.

    NotFound if the snapshot has no such contact.
    """
    row = session.row(contact)
    answers = Answers(session, compiled)
    lines = _lines(answers, segment, root_path(segment), 0, segment.root, row)
    (contact_id,) = session.contact_ids([row])
    return Explanation(segment.segment, contact_id, lines[0].matches, lines)


def _lines(answers: Answers, segment: Segment, path: str, depth: int, node: Node, row: int) -> list[ExplainedLine]:
    """The line of `node`, and all below it."""
    if isinstance(node, SegmentNode):
        target = answers.compiled.library[node.segment]
        below = [_lines(answers, target, root_path(target), depth + 1, target.root, row)]
    else:
        below = [_lines(answers, segment, join(path, at), depth + 1, child, row) for at, child in children(node)]
    inner = [lines[0].matches for lines in below]
    evidence: dict[str, Any] = {}
    match node:
        case AllNode() | SegmentNode():
            matches = all(inner)
        case AnyNode():
            matches = any(inner)
        case NotNode():
            matches = not inner[0]
        case _:
            matches = has(answers.of_leaf(segment, path, node), row)
            evidence = _evidence(answers, segment, node, row)
    return [ExplainedLine(segment.segment, path, depth, says(node), matches, evidence), *chain.from_iterable(below)]


def _evidence(answers: Answers, segment: Segment, node: LeafNode, row: int) -> dict[str, Any]:
    values = node.leaf.evidence(answers.compiled.scope(segment))
    if not values:
        return {}
    session = answers.session
    columns = [value.label(f"value_{number}") for number, value in enumerate(values.values())]
    query: sa.Select[Any] = sa.select(*columns).select_from(session.tables.contacts).where(session.is_row(row))
    ((*found,),) = session.run(query).rows()
    return dict(zip(values, found, strict=True))
