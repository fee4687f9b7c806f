"""The preview of a segment: for each line of its tree, how many contacts it matches and how many it leaves.

A line is reached by contacts, and `remains` counts those of them that are still in after it:

- the root is reached by all contacts;
- the first line of an `all` by those that reach the `all`, each further one by those that the line before left;
- every line of an `any` by those that reach the `any`; what remains after one is found by it or by a line above it;
- the line below a `not` by those that reach the `not`; what remains is found by it, and the `not` leaves the others.

So a group's `remains` is that of its last line, or for `not` the rest. A reference to a segment is one line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from campaign_pipeline.segments.compiler import Compiler, combine
from campaign_pipeline.segments.definition import Line, Segment, join, root_path, walk
from campaign_pipeline.segments.tree import AllNode, AnyNode, Node, NotNode, children, says


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
    """`count` of `total` contacts are in the segment; `sample`: some of their ids, sorted."""

    count: int
    total: int
    lines: list[PreviewLine]
    sample: list[str]


@dataclass(frozen=True)
class Tally:
    """One pass over the contacts: an inner query answers each leaf once, an outer one counts every line."""

    lines: list[Line]
    leaves: sa.Subquery
    matches: dict[str, sa.ColumnElement[bool]]
    remains: dict[str, sa.ColumnElement[bool]]

    @classmethod
    def of(cls, segment: Segment, compiled: Compiler) -> "Tally":
        lines = list(walk(segment))
        answers = {
            line.path: compiled.condition(segment, line.path, line.node) for line in lines if not children(line.node)
        }
        columns = [answer.label(f"leaf_{number}") for number, answer in enumerate(answers.values())]
        leaves = sa.select(compiled.tables.contacts.c.contact_id, *columns).subquery("leaves")
        matches = {path: leaves.c[f"leaf_{number}"] for number, path in enumerate(answers)}
        for line in reversed(lines):  # children before parents
            if isinstance(line.node, AllNode | AnyNode | NotNode):
                matches[line.path] = combine(line.node, [matches[join(line.path, at)] for at, _ in children(line.node)])
        remains: dict[str, sa.ColumnElement[bool]] = {}
        _follow(root_path(segment), segment.root, sa.true(), matches, remains)
        return cls(lines, leaves, matches, remains)

    def query(self, sample: int) -> sa.Select[Any]:
        """One row: total, sample (list of contact_id), and for line n of the tree matches_n and remains_n."""
        contact_id = self.leaves.c.contact_id
        counts = [sa.func.count().label("total")]
        for number, line in enumerate(self.lines):
            counts.append(sa.func.count().filter(self.matches[line.path]).label(f"matches_{number}"))
            counts.append(sa.func.count().filter(self.remains[line.path]).label(f"remains_{number}"))
        lowest = sa.func.min(contact_id, sample).filter(self.matches[self.lines[0].path]).label("sample")
        return sa.select(*counts, lowest).select_from(self.leaves)

    def read(self, counts: Mapping[str, Any]) -> Preview:
        lines = [
            PreviewLine(
                line.path, line.depth, says(line.node), counts[f"matches_{number}"], counts[f"remains_{number}"]
            )
            for number, line in enumerate(self.lines)
        ]
        return Preview(lines[0].matches, counts["total"], lines, list(counts["sample"] or []))


def _follow(
    path: str,
    node: Node,
    reached: sa.ColumnElement[bool],
    matches: Mapping[str, sa.ColumnElement[bool]],
    remains: dict[str, sa.ColumnElement[bool]],
) -> None:
    """Fill in what remains after `node` and after every line below it, by the rules of the module."""
    left, found = reached, sa.false()
    for at, child in children(node):
        below = join(path, at)
        _follow(below, child, left, matches, remains)
        if isinstance(node, AllNode):
            left = sa.and_(left, matches[below])
        elif isinstance(node, AnyNode):
            found = sa.or_(found, matches[below])
            remains[below] = sa.and_(reached, found)
    remains[path] = sa.and_(reached, matches[path])
