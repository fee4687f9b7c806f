"""Who is in which variant: GrowthBook's public hash, so that its SDKs assign the same contact alike.

Specification: https://docs.growthbook.io/lib/build-your-own. Version 2, which we use, is
`fnv1a32(str(fnv1a32(seed + id))) % 10000 / 10000`; ranges are half-open. Ids and seeds are ASCII.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Range = tuple[float, float]
"""Half-open: [from, to) of the unit interval."""

NOBODY = -1
"""The index of no variant."""

_OFFSET, _PRIME = np.uint32(0x811C9DC5), np.uint32(0x01000193)


def buckets(seed: str, ids: Sequence[str], version: int = 2) -> npt.NDArray[np.float64]:
    """For each id its place in [0, 1): a float64 array as long as `ids`."""
    if version == 1:
        return _fnv1a([f"{one}{seed}" for one in ids]) % 1000 / 1000
    if version != 2:
        raise ValueError(f"hash version {version} is not known; there are 1 and 2")
    inner = _fnv1a([f"{seed}{one}" for one in ids])
    return _fnv1a(inner.astype(np.str_).tolist()) % 10000 / 10000


def _fnv1a(texts: Sequence[str]) -> npt.NDArray[np.uint32]:
    """32-bit FNV-1a of many texts at once: a column of bytes a step, masked where a text has ended."""
    encoded = [text.encode("ascii") for text in texts]
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    width = int(lengths.max(initial=0))
    table = np.zeros((len(encoded), width), dtype=np.uint8)
    for row, text in enumerate(encoded):
        table[row, : len(text)] = np.frombuffer(text, dtype=np.uint8)
    hashes = np.full(len(encoded), _OFFSET, dtype=np.uint32)
    for column in range(width):
        hashed = (hashes ^ table[:, column]) * _PRIME
        hashes = np.where(lengths > column, hashed, hashes)
    return hashes


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
