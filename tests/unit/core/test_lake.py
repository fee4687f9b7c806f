"""The lake: a partition is there whole or not at all."""

import polars as pl
import pytest

from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.lake import Lake


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
