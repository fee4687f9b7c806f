"""The preview of a segment: for each line of its tree, how many contacts it matches and how many it leaves.

A line is reached by contacts, and `remains` counts those of them that are still in after it:

- the root is reached by all contacts;
- the first line of an `all` by those that reach the `all`, each further one by those that the line before left;
- every line of an `any` by those that reach the `any`; what remains after one is found by it or by a line above it;
- the line below a `not` by those that reach the `not`; what remains is found by it, and the `not` leaves the others.

So a group's `remains` is that of its last line, or for `not` the rest. A reference to a segment is one line.
"""

from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from campaign_pipeline.core.words import Channel
from campaign_pipeline.segments.answers import Answers
from campaign_pipeline.segments.bitmaps import Bitmap, count, lowest
from campaign_pipeline.segments.catalogue import Kind
from campaign_pipeline.segments.compiler import Compiler
from campaign_pipeline.segments.definition import Segment, join, root_path
from campaign_pipeline.segments.session import Session
from campaign_pipeline.segments.tree import AllNode, AnyNode, Node, NotNode, children, says

SAMPLE = 10
"""Contacts shown in a preview: those with the lowest numbers. Ids are digests, so they are as good as drawn."""

ANY_CHANNEL = "any"


@dataclass(frozen=True)
class PreviewLine:
    """`matches`: contacts that the line matches by itself. `remains`: see the module."""

    path: str
    depth: int
    text: str
    matches: int
    remains: int


@dataclass(frozen=True)
class Preview:
    """`count` of `total` contacts are in the segment; `sample`: some of their ids, sorted.

    `reachable`: how many of those in the segment have an address, consent to marketing and no suppression, by channel
    and by any of them; without the channels of which the snapshot does not know it.
    """

    count: int
    total: int
    lines: list[PreviewLine]
    sample: list[str]
    reachable: dict[str, int] = field(default_factory=dict[str, int])


def preview_in(session: Session, segment: Segment, compiled: Compiler) -> Preview:
    """The preview of `segment`, for which `compiled` was made."""
    answers = Answers(session, compiled)
    found, lines = _follow(answers, segment, root_path(segment), 0, segment.root, session.everyone)
    sample = session.contact_ids(lowest(found, SAMPLE))
    return Preview(count(found), session.total, list(lines), sample, _reachable(session, found))


def _follow(
    answers: Answers, segment: Segment, path: str, depth: int, node: Node, reached: Bitmap
) -> tuple[Bitmap, list[PreviewLine]]:
    """The contacts that match `node`, and its line and those below, by the rules of the module."""
    below: list[PreviewLine] = []
    left, found = reached, answers.session.nobody
    inner: list[Bitmap] = []
    for at, child in children(node):
        matches, lines = _follow(answers, segment, join(path, at), depth + 1, child, left)
        inner.append(matches)
        if isinstance(node, AllNode):
            left = left & matches
        elif isinstance(node, AnyNode):
            found = found | matches
            lines[0] = _line(lines[0].path, depth + 1, child, matches, reached & found)
        below += lines
    match node:
        case AllNode() | AnyNode() | NotNode():
            matches = answers.combine(node, inner)
        case _:
            matches = answers.of_leaf(segment, path, node)
    return matches, [_line(path, depth, node, matches, reached & matches), *below]


def _line(path: str, depth: int, node: Node, matches: Bitmap, remains: Bitmap) -> PreviewLine:
    return PreviewLine(path, depth, says(node), count(matches), count(remains))


def _reachable(session: Session, members: Bitmap) -> dict[str, int]:
    known = {channel: f"reachable_{channel}" for channel in Channel}
    bits = {
        channel.value: members & session.answer(session.tables.contacts.c[name])
        for channel, name in known.items()
        if session.catalogue.fields.get(name) is Kind.BOOLEAN
    }
    if not bits:
        return {}
    return {channel: count(one) for channel, one in bits.items()} | {ANY_CHANNEL: count(reduce(or_, bits.values()))}
