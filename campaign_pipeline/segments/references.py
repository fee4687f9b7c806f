"""Segments that refer to each other: every target is there, none leads back to itself, none grows beyond bounds."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.segments.catalogue import nearest
from campaign_pipeline.segments.definition import Segment, check_bounds, walk
from campaign_pipeline.segments.tree import SegmentNode


def check_references(library: Mapping[str, Segment], names: Iterable[str] | None = None) -> list[str]:
    """`names` (default: all) and all they refer to, so that targets come before what refers to them.

    InvalidInput for a missing target or a cycle, with the path, and for a tree that is too large with all its targets.
    """
    targets: dict[str, set[str]] = {}
    waiting = list(library if names is None else names)
    while waiting:
        name = waiting.pop()
        if name in targets:
            continue
        targets[name] = set()
        for line in walk(library[name]):
            if isinstance(line.node, SegmentNode):
                target = line.node.segment
                if target not in library:
                    raise InvalidInput(
                        f"segment {name}: {line.path}.segment: there is no segment {target!r}",
                        nearest(target, library) or f"There are: {', '.join(sorted(library))}.",
                    )
                targets[name].add(target)
                waiting.append(target)
    try:
        order = list(TopologicalSorter(targets).static_order())
    except CycleError as error:
        path: list[str] = error.args[1][::-1]  # graphlib lists each after what it depends on
        raise InvalidInput(
            f"segment {path[0]}: refers to itself: {' -> '.join(path)}", "Remove one of these references."
        ) from None
    _check_sizes(library, order)
    return order


def _check_sizes(library: Mapping[str, Segment], order: list[str]) -> None:
    sizes: dict[str, tuple[int, int]] = {}
    for name in order:
        deepest, nodes = 0, 0
        for line in walk(library[name]):
            inner = sizes[line.node.segment] if isinstance(line.node, SegmentNode) else (0, 0)
            deepest = max(deepest, line.depth + 1 + inner[0])
            nodes += 1 + inner[1]
        try:
            check_bounds(deepest, nodes)
        except ValueError as error:
            raise InvalidInput(f"segment {name}: {error} (with the segments it refers to)") from None
        sizes[name] = (deepest, nodes)
