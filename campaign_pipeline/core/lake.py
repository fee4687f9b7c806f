"""The lake: Parquet files under data/lake, one folder an asset, one file a partition.

A partition is there whole or not at all: it is written under a temporary name, synced, and renamed.
"""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import polars as pl
from polars.io.plugins import register_io_source

from campaign_pipeline.core.errors import NotFound

Frame = pl.DataFrame | pl.LazyFrame
Put = Callable[[], Path]
"""Puts a partition that was written beside its place into it, at once; the path."""


@dataclass(frozen=True)
class Lake:
    root: Path

    def path(self, asset: str, partition: str = "all") -> Path:
        """`root/asset/partition.parquet`; a partition with two dimensions is written `a/b`."""
        return self.root / asset / f"{partition}.parquet"

    def exists(self, asset: str, partition: str = "all") -> bool:
        return self.path(asset, partition).exists()

    def write(
        self, frame: Frame, asset: str, partition: str = "all", *, metadata: dict[str, str] | None = None
    ) -> Path:
        """Put `frame` in the partition's place; `metadata` goes with it in the same file (pl.read_parquet_metadata)."""
        with self.staged(frame, asset, partition, metadata=metadata) as put:
            return put()

    @contextmanager
    def staged(
        self, frame: Frame, asset: str, partition: str = "all", *, metadata: dict[str, str] | None = None
    ) -> Generator[Put]:
        """Write `frame` beside the partition; what the block is given puts it in its place. Not called, it is gone.

        A lazy frame is written as it comes, and is never whole in memory: see in_slices.
        """

        def write(file: BinaryIO) -> None:
            if isinstance(frame, pl.LazyFrame):
                frame.sink_parquet(file, compression="zstd", metadata=metadata)
            else:
                frame.write_parquet(file, compression="zstd", metadata=metadata)

        with self._staged(asset, partition, lambda path: _write(path, write)) as put:
            yield put

    def write_by(self, write: Callable[[Path], object], asset: str, partition: str = "all") -> Path:
        """Put what `write` puts into a file of Parquet in the partition's place."""
        with self._staged(asset, partition, write) as put:
            return put()

    @contextmanager
    def _staged(self, asset: str, partition: str, write: Callable[[Path], object]) -> Generator[Put]:
        path = self.path(asset, partition)
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _sync_folder(path.parent.parent)
        temporary = path.with_name(f".{path.name}.{uuid4().hex}")

        def put() -> Path:
            temporary.rename(path)
            _sync_folder(path.parent)
            return path

        try:
            write(temporary)
            _sync_file(temporary)
            yield put
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, asset: str, partition: str = "all") -> pl.DataFrame:
        return self.scan(asset, partition).collect()

    def scan(self, asset: str, partition: str = "all") -> pl.LazyFrame:
        """The partition, of which only what is asked for is read."""
        return pl.scan_parquet(self._existing(asset, partition), glob=False)  # a folder's name may hold [ or *

    @contextmanager
    def held(self, asset: str, partition: str = "all") -> Generator[pl.LazyFrame]:
        """As scan, and the same however often the block reads it: what is put in its place meanwhile is not seen."""
        with self._existing(asset, partition).open("rb") as file:
            yield pl.scan_parquet(file)

    def _existing(self, asset: str, partition: str) -> Path:
        path = self.path(asset, partition)
        if not path.exists():
            raise NotFound(
                f"{asset} of {partition} is not in the lake ({path})",
                f"Materialise {asset} first.",
            )
        return path

    def partitions(self, asset: str) -> list[str]:
        """The partitions that are there, sorted; `a/b` for two dimensions."""
        folder = self.root / asset
        files = (path.relative_to(folder) for path in folder.rglob("*.parquet") if not path.name.startswith("."))
        return sorted(str(file.with_suffix("")) for file in files)

    def glob(self, asset: str) -> str:
        """A pattern over all partitions, for DuckDB's read_parquet."""
        return str(self.root.resolve() / asset / "**" / "*.parquet")


def in_slices(frames: Iterable[pl.DataFrame], schema: Mapping[str, Any]) -> pl.LazyFrame:
    """One frame after the other, as one that can be written or read once.

    What `frames` raises comes out of the call that reads it.
    """

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        left = n_rows
        for each in frames:
            frame = each if with_columns is None else each.select(with_columns)
            frame = frame if left is None else frame.head(left)
            left = None if left is None else left - frame.height
            yield frame if predicate is None else frame.filter(predicate)
            if left == 0:
                return

    return register_io_source(source, schema=dict(schema))


def _write(path: Path, write: Callable[[BinaryIO], None]) -> None:
    with path.open("wb") as file:
        write(file)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
