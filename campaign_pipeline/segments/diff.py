"""What a changed definition changes: who would enter and who would leave, and which lines are others."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from campaign_pipeline.segments.answers import Answers
from campaign_pipeline.segments.bitmaps import count, lowest
from campaign_pipeline.segments.compiler import Compiler
from campaign_pipeline.segments.definition import Segment, walk
from campaign_pipeline.segments.preview import SAMPLE
from campaign_pipeline.segments.session import Session
from campaign_pipeline.segments.tree import says


@dataclass(frozen=True)
class DiffLine:
    """A line that is removed ("-"), added ("+") or kept (" "), at its path in the definition that has it."""

    change: str
    path: str
    depth: int
    text: str


@dataclass(frozen=True)
class SegmentDiff:
    """`before` and `after`: how many are in the segment. `entering` and `leaving`: how many, with some of their ids."""

    segment: str
    before: int
    after: int
    entering: int
    leaving: int
    entering_sample: list[str]
    leaving_sample: list[str]
    lines: list[DiffLine]

    @property
    def is_changed(self) -> bool:
        return any(line.change != " " for line in self.lines)


def diff_in(session: Session, before: tuple[Segment, Compiler] | None, after: tuple[Segment, Compiler]) -> SegmentDiff:
    """The difference between two definitions of a segment, each with what it was compiled with; None: it is new.

    What the segments mean that they refer to may differ too, and counts; `lines` are those of the segment itself.
    """
    old = Answers(session, before[1]).whole(before[0]) if before else session.nobody
    new = Answers(session, after[1]).whole(after[0])
    entering, leaving = new & ~old, old & ~new
    return SegmentDiff(
        after[0].segment,
        count(old),
        count(new),
        count(entering),
        count(leaving),
        session.contact_ids(lowest(entering, SAMPLE)),
        session.contact_ids(lowest(leaving, SAMPLE)),
        list(_lines(before[0] if before else None, after[0])),
    )


def _lines(before: Segment | None, after: Segment) -> Iterator[DiffLine]:
    old, new = _written(before) if before else [], _written(after)
    matcher = SequenceMatcher(None, [line[1:] for line in old], [line[1:] for line in new], autojunk=False)
    for change, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        if change == "equal":
            yield from (DiffLine(" ", *line) for line in new[new_start:new_end])
        else:
            yield from (DiffLine("-", *line) for line in old[old_start:old_end])
            yield from (DiffLine("+", *line) for line in new[new_start:new_end])


def _written(segment: Segment) -> list[tuple[str, int, str]]:
    """(path, depth, text) of each line; of the segment's time zone and metrics too, which change what lines mean."""
    about = [("timezone", 0, f"time zone {segment.timezone}")]
    about += [
        (f"metrics.{name}", 0, f"metric {name}: {metric.model_dump_json(exclude_defaults=True, by_alias=True)}")
        for name, metric in segment.metrics.items()
    ]
    return about + [(line.path, line.depth, says(line.node)) for line in walk(segment)]
