"""Which messages go in one provider request."""

from collections.abc import Hashable, Sequence

SUBSTITUTION_LIMIT = 10_000
"""Bytes of substitutions (tags and values, UTF-8) that SendGrid takes for one recipient."""

TAG_BYTES = 48
"""At most what one substitution costs beside its value: a tag with a nonce, and a margin."""


def substitution_bytes(fragments: Sequence[str]) -> int:
    """What the fragments cost of SUBSTITUTION_LIMIT, tags included; never less than SendGrid counts."""
    return sum(map(len, map(str.encode, fragments))) + TAG_BYTES * len(fragments)


def fits_substitutions(fragments: Sequence[str]) -> bool:
    """Whether a message can share a request; otherwise it is sent alone, with its full text."""
    return substitution_bytes(fragments) <= SUBSTITUTION_LIMIT


class BatchCutter:
    """Numbers batches from 0 as messages come by in order.

    A batch has one key (variant and send time), at most `size` messages and no address twice (letter case
    aside, as SendGrid compares them). A message that is `alone` has a batch of its own.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._next = 0
        self._key: Hashable = None
        self._current = -1
        self._addresses: set[str] = set()

    def batch_of(self, key: Hashable, address: str, *, alone: bool = False) -> int:
        """The batch of the next message. Messages with the same key come one after the other."""
        if alone:
            return self._open()
        folded = address.casefold()
        full = len(self._addresses) >= self._size or folded in self._addresses
        if key != self._key or self._current < 0 or full:
            self._key, self._current, self._addresses = key, self._open(), set()
        self._addresses.add(folded)
        return self._current

    def _open(self) -> int:
        self._next += 1
        return self._next - 1
