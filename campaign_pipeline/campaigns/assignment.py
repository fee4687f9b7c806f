"""Who is in which variant: by the places of core/hashing.py, so that GrowthBook's SDKs assign the same contact alike.

Specification: https://docs.growthbook.io/lib/build-your-own. Ranges are half-open.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Range = tuple[float, float]
"""Half-open: [from, to) of the unit interval."""

NOBODY = -1
"""The index of no variant."""


def bucket_ranges(weights: Sequence[float], coverage: float = 1.0) -> list[Range]:
    """A range for each weight, shrunk to `coverage` (cut to [0, 1]) of its width.

    Weights that do not add up to 1 (by more than 0.01) count as equal, as the specification has it.
    """
    coverage = min(max(coverage, 0.0), 1.0)
    if not weights:
        return []
    if abs(sum(weights) - 1) > 0.01:
        weights = [1 / len(weights)] * len(weights)
    ranges: list[Range] = []
    start = 0.0
    for weight in weights:
        ranges.append((start, start + coverage * weight))
        start += weight
    return ranges


def choose_variants(places: npt.NDArray[np.float64], ranges: Sequence[Range]) -> npt.NDArray[np.int64]:
    """For each place the index of the first range it is in; NOBODY outside all of them."""
    chosen = np.full(len(places), NOBODY, dtype=np.int64)
    for index, (start, end) in reversed(list(enumerate(ranges))):
        chosen[(places >= start) & (places < end)] = index
    return chosen
