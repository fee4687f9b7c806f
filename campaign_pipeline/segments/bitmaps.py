"""Sets of contacts as bitmaps: a bit a contact, at the contact's number. 10 million contacts take 1.25 MB."""

import numpy as np
import numpy.typing as npt

Bitmap = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.integer]


def bitmap(numbers: Numbers, size: int) -> Bitmap:
    """The set of `numbers`, which are below `size`; all bitmaps of one size can be combined with & | ~."""
    flags = np.zeros(-(-size // 64) * 64, dtype=np.bool_)
    flags[numbers] = True
    return np.packbits(flags, bitorder="little").view(np.uint64)


def count(bits: Bitmap) -> int:
    return int(np.bitwise_count(bits).sum(dtype=np.int64))


def has(bits: Bitmap, number: int) -> bool:
    return bool(int(bits[number // 64]) >> (number % 64) & 1)


def lowest(bits: Bitmap, how_many: int) -> list[int]:
    """The lowest `how_many` numbers of the set, ascending."""
    found: list[int] = []
    for word in np.flatnonzero(bits)[:how_many]:
        value = int(bits[word])
        found += [int(word) * 64 + bit for bit in range(64) if value >> bit & 1]
    return found[:how_many]
