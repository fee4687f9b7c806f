"""GrowthBook's public hash: which part of the unit interval an id falls into, the same everywhere and for good.

Specification: https://docs.growthbook.io/lib/build-your-own. Version 2, which we use, is
`fnv1a32(str(fnv1a32(seed + id))) % 10000 / 10000`. Ids and seeds are ASCII.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

OFFSET, PRIME = 0x811C9DC5, 0x01000193
"""Of 32-bit FNV-1a: where it starts, and what each step multiplies by."""

PLACES = 10_000
"""The places of version 2: a hundredth of a percent each."""


def buckets(seed: str, ids: Sequence[str], version: int = 2) -> npt.NDArray[np.float64]:
    """For each id its place in [0, 1): a float64 array as long as `ids`."""
    if version == 1:
        return _fnv1a([f"{one}{seed}" for one in ids]) % 1000 / 1000
    if version != 2:
        raise ValueError(f"hash version {version} is not known; there are 1 and 2")
    inner = _fnv1a([f"{seed}{one}" for one in ids])
    return _fnv1a(inner.astype(np.str_).tolist()) % PLACES / PLACES


def fnv1a(text: str) -> int:
    """32-bit FNV-1a of one ASCII text."""
    return int(_fnv1a([text])[0])


def _fnv1a(texts: Sequence[str]) -> npt.NDArray[np.uint32]:
    """32-bit FNV-1a of many texts at once: a column of bytes a step, masked where a text has ended."""
    encoded = [text.encode("ascii") for text in texts]
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    width = int(lengths.max(initial=0))
    table = np.zeros((len(encoded), width), dtype=np.uint8)
    for row, text in enumerate(encoded):
        table[row, : len(text)] = np.frombuffer(text, dtype=np.uint8)
    hashes = np.full(len(encoded), OFFSET, dtype=np.uint32)
    for column in range(width):
        hashed = (hashes ^ table[:, column]) * np.uint32(PRIME)
        hashes = np.where(lengths > column, hashed, hashes)
    return hashes
