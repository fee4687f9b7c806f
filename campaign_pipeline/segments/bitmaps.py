"""Sets of contacts as bitmaps: a bit for each row of the contacts. 10 million contacts take 1.25 MB."""

import numpy as np
import numpy.typing as npt

Bitmap = npt.NDArray[np.uint64]


def bitmap(flags: npt.NDArray[np.bool_]) -> Bitmap:
    """The set of the rows whose flag is set; bitmaps of as many rows can be combined with & | ^."""
    bits = np.packbits(flags, bitorder="little")
    return np.pad(bits, (0, -len(bits) % 8)).view(np.uint64)


def count(bits: Bitmap) -> int:
    return int(np.bitwise_count(bits).sum(dtype=np.int64))


def has(bits: Bitmap, row: int) -> bool:
    return bool(int(bits[row // 64]) >> (row % 64) & 1)


def lowest(bits: Bitmap, how_many: int) -> list[int]:
    """The lowest `how_many` rows of the set, ascending."""
    found: list[int] = []
    for word in np.flatnonzero(bits)[:how_many]:
        value = int(bits[word])
        found += [int(word) * 64 + bit for bit in range(64) if value >> bit & 1]
    return found[:how_many]
