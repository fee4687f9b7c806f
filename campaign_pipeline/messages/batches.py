"""Which messages go in one provider request."""

from collections.abc import Hashable, Sequence

import polars as pl

SUBSTITUTION_LIMIT = 10_000
"""Bytes of substitutions (tags and values, UTF-8) that SendGrid takes for one recipient."""

KEY = ("send_at", "window", "variant", "locale", "pace")
"""What all messages of a batch have in common."""

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

    A batch has one key (send time, window, variant, language and pace), at most `size` messages and no address twice
    (letter case aside, as SendGrid compares them). A message that is `alone` has a batch of its own.
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


def number_batches(messages: pl.DataFrame, size: int) -> pl.Series:
    """The batch of every message (Int32), as BatchCutter numbers them.

    `messages`, in order: the columns of KEY, address, and alone (Boolean).
    """
    keyed = messages.select("address", "alone", key=pl.struct(KEY).rle_id())
    if _address_twice(keyed.filter(~pl.col("alone"))):
        return _number_one_by_one(messages, size)
    alone = pl.col("alone")
    place = (~alone).cast(pl.Int64).cum_sum().over("key") - 1  # among those of its key that are not alone
    opens = keyed.select("alone", opens=alone | (place % size == 0))
    numbered = opens.with_columns(opened=pl.col("opens").cast(pl.Int32).cum_sum() - 1)
    last = pl.when(pl.col("opens") & ~alone).then("opened").forward_fill()
    return numbered.select(batch_no=pl.when(alone).then("opened").otherwise(last)).to_series()


class Numbering:
    """Numbers the messages of a run and their batches slice by slice, through all its steps.

    Batches come out as number_batches numbers all messages of a step together.
    """

    def __init__(self) -> None:
        self._messages = 0
        self._batches = 0
        self._size = 0
        self._open: pl.DataFrame | None = None  # of the batch that the next message may go in: KEY, address, alone
        self._number = 0  # of that batch

    def begin(self, size: int) -> None:
        """The next messages are of another step, at most `size` a batch."""
        self._size, self._open = size, None

    def numbered(self, messages: pl.DataFrame) -> pl.DataFrame:
        """The next messages with message_no and batch_no; columns as number_batches."""
        columns = [*KEY, "address", "alone"]
        before = 0 if self._open is None else self._open.height
        rows = messages.select(columns) if self._open is None else pl.concat([self._open, messages.select(columns)])
        number = pl.col("batch_no") + self._batches
        if before:  # the open batch is the first of these
            number = pl.when(pl.col("batch_no") == 0).then(self._number).otherwise(number - 1)
        rows = rows.with_columns(number_batches(rows, self._size)).with_columns(number.cast(pl.Int32).alias("batch_no"))
        batches = rows["batch_no"].slice(before)
        numbers = pl.int_range(self._messages, self._messages + messages.height, dtype=pl.Int32, eager=True)
        self._messages += messages.height
        self._batches += batches.filter(batches >= self._batches).n_unique()
        together = rows.filter(~pl.col("alone"))
        if not together.is_empty():
            self._number = int(together["batch_no"][-1])
            self._open = together.filter(pl.col("batch_no") == self._number).select(columns)
        return messages.with_columns(numbers.alias("message_no"), batches)


def _address_twice(messages: pl.DataFrame) -> bool:
    """Whether an address may be there twice within a key: one beyond ASCII may be another's by its letter case."""
    folded = pl.col("address").str.to_lowercase()
    beyond = messages["address"].str.len_bytes() != messages["address"].str.len_chars()
    return bool(beyond.any()) or messages.select("key", folded).n_unique() < messages.height


def _number_one_by_one(messages: pl.DataFrame, size: int) -> pl.Series:
    cutter = BatchCutter(size)
    rows = messages.select(*KEY, "address", "alone").iter_rows()
    numbers = [cutter.batch_of(tuple(key), address, alone=alone) for *key, address, alone in rows]
    return pl.Series("batch_no", numbers, dtype=pl.Int32)
