"""What goes in one request."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.messages.batches import (
    SUBSTITUTION_LIMIT,
    TAG_BYTES,
    BatchCutter,
    Numbering,
    fits_substitutions,
    number_batches,
    substitution_bytes,
)

messages = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([f"{n}@example.com" for n in range(8)]), st.booleans()), max_size=40
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


def test_a_batch_is_full_at_its_size_and_ends_with_its_key() -> None:
    cutter = BatchCutter(2)
    batches = [cutter.batch_of(key, address) for key, address in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "4")]]
    assert batches == [0, 0, 1, 2]


def test_a_message_that_goes_alone_does_not_end_the_batch_around_it() -> None:
    cutter = BatchCutter(3)
    assert [cutter.batch_of("a", str(n), alone=n == 1) for n in range(4)] == [0, 1, 0, 0]


def test_an_address_that_is_in_the_batch_already_opens_the_next() -> None:
    cutter = BatchCutter(10)
    assert [cutter.batch_of("a", address) for address in ("x@a.example", "X@A.example", "y@a.example")] == [0, 1, 1]


@given(messages, st.integers(1, 4))
def test_batches_keep_their_promises(rows: list[tuple[int, str, bool]], size: int) -> None:
    cutter = BatchCutter(size)
    batches: dict[int, list[tuple[int, str, bool]]] = {}
    for row in rows:
        batches.setdefault(cutter.batch_of(row[0], row[1], alone=row[2]), []).append(row)
    assert list(batches) == list(range(len(batches)))  # numbered by their first message, without a gap
    for batch in batches.values():
        assert len(batch) <= size
        assert len({key for key, _, _ in batch}) == 1
        assert len({address for _, address, _ in batch}) == len(batch)
        assert len(batch) == 1 or not any(alone for _, _, alone in batch)


@given(messages, st.integers(1, 4), st.lists(st.integers(1, 8), min_size=40, max_size=40))
def test_slice_by_slice_the_batches_are_those_of_all_messages_together(
    rows: list[tuple[int, str, bool]], size: int, slices: list[int]
) -> None:
    schema = {"send_at": pl.Int64, "address": pl.String, "alone": pl.Boolean}
    whole = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        window=pl.lit(""), variant=pl.lit("a"), locale=pl.lit("en"), pace=pl.lit("")
    )
    cutter, numbering = BatchCutter(size), Numbering()
    numbering.begin(size)
    found: list[tuple[int, int]] = []
    while len(found) < len(rows):
        part = numbering.numbered(whole.slice(len(found), slices.pop()))
        found += part.select("message_no", "batch_no").rows()
    assert found == [(no, cutter.batch_of(*row[:2], alone=row[2])) for no, row in enumerate(rows)]
    assert [batch for _, batch in found] == number_batches(whole, size).to_list()


def test_the_next_step_of_a_run_begins_a_batch_of_its_own() -> None:
    one = pl.DataFrame({"address": ["a", "b"], "alone": [False, True]}).with_columns(
        **{name: pl.lit("") for name in ("send_at", "window", "variant", "locale", "pace")}
    )
    numbering = Numbering()
    numbers = []
    for size in (5, 1):
        numbering.begin(size)
        numbers += numbering.numbered(one).select("message_no", "batch_no").rows()
    assert numbers == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_substitutions_are_counted_in_bytes_with_their_tags() -> None:
    assert substitution_bytes(["é", "ab"]) == 4 + 2 * TAG_BYTES
    assert fits_substitutions(["x" * (SUBSTITUTION_LIMIT - TAG_BYTES)])
    assert not fits_substitutions(["x" * (SUBSTITUTION_LIMIT - TAG_BYTES + 1)])
    assert not fits_substitutions(["é" * 5_000])
