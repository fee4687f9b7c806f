"""The lake: a partition is there whole or not at all."""

from collections.abc import Iterator

import polars as pl
import pytest

from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.lake import Lake, in_slices


def test_what_was_written_is_read_and_listed(lake: Lake) -> None:
    frame = pl.DataFrame({"n": [1, 2]})
    lake.write(frame, "audience", "run-1")
    lake.write(frame, "ab_results", "run-1/2026-03-02")
    assert lake.read("audience", "run-1").equals(frame)
    assert lake.partitions("audience") == ["run-1"]
    assert lake.partitions("ab_results") == ["run-1/2026-03-02"]
    assert lake.partitions("nothing") == []


def test_a_write_that_fails_leaves_the_old_partition(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(pl.DataFrame({"n": [1]}), "audience", "run-1")

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", fail)
    with pytest.raises(OSError, match="No space left"):
        lake.write(pl.DataFrame({"n": [2]}), "audience", "run-1")
    monkeypatch.undo()
    assert lake.read("audience", "run-1").item() == 1
    assert [path.name for path in (lake.root / "audience").iterdir()] == ["run-1.parquet"]


def test_a_partition_that_is_not_there_says_what_to_do(lake: Lake) -> None:
    with pytest.raises(NotFound, match="Materialise audience first"):
        lake.read("audience", "run-1")


def numbered(start: int, end: int) -> pl.DataFrame:
    return pl.DataFrame({"n": range(start, end)}, schema={"n": pl.Int32})


def test_slices_become_one_partition(lake: Lake) -> None:
    slices = in_slices((numbered(start, start + 10) for start in (0, 10, 20)), {"n": pl.Int32})
    path = lake.write(slices, "messages", "run", metadata={"made": "by slices"})
    assert lake.read("messages", "run").equals(numbered(0, 30))
    assert pl.read_parquet_metadata(path)["made"] == "by slices"


def test_no_slices_are_an_empty_partition_with_its_columns(lake: Lake) -> None:
    lake.write(in_slices([], {"n": pl.Int32}), "messages")
    assert lake.read("messages").equals(numbered(0, 0))


def test_what_fails_between_slices_is_told_as_it_is_and_leaves_the_partition(lake: Lake) -> None:
    lake.write(numbered(0, 3), "messages")

    def slices() -> Iterator[pl.DataFrame]:
        yield numbered(0, 10)
        raise Refused("no more", "Stop.")

    with pytest.raises(Refused, match="no more"):
        lake.write(in_slices(slices(), {"n": pl.Int32}), "messages")
    assert lake.read("messages").equals(numbered(0, 3))
    assert [path.name for path in lake.path("messages").parent.iterdir()] == ["all.parquet"]


def test_of_slices_only_what_is_asked_for_is_given(lake: Lake) -> None:
    def slices() -> pl.LazyFrame:
        frames = (numbered(start, start + 10).with_columns(text=pl.lit("x")) for start in (0, 10, 20))
        return in_slices(frames, {"n": pl.Int32, "text": pl.String})

    assert slices().select("n").collect().equals(numbered(0, 30))
    assert slices().select("n").head(13).collect().equals(numbered(0, 13))
    assert slices().filter(pl.col("n") >= 25).select("n").collect().equals(numbered(25, 30))


def test_what_is_held_stays_whatever_is_put_in_its_place(lake: Lake) -> None:
    lake.write(numbered(0, 3), "contacts")
    with lake.held("contacts") as held:
        lake.write(numbered(0, 5), "contacts")
        assert held.collect().equals(numbered(0, 3))
        assert held.filter(pl.col("n") > 0).collect().equals(numbered(1, 3))
    assert lake.read("contacts").equals(numbered(0, 5))
    with pytest.raises(NotFound, match="Materialise nothing first"), lake.held("nothing"):
        pass
