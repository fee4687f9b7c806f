"""The lake: Parquet files under data/lake, one folder an asset, one file a partition.

A partition is there whole or not at all: it is written under a temporary name, synced, and renamed.
"""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import polars as pl

from campaign_pipeline.core.errors import NotFound

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
        self, frame: pl.DataFrame, asset: str, partition: str = "all", *, metadata: dict[str, str] | None = None
    ) -> Path:
        """Put `frame` in the partition's place; `metadata` goes with it in the same file (pl.read_parquet_metadata)."""
        with self.staged(frame, asset, partition, metadata=metadata) as put:
            return put()

    @contextmanager
    def staged(
        self, frame: pl.DataFrame, asset: str, partition: str = "all", *, metadata: dict[str, str] | None = None
    ) -> Generator[Put]:
        """Write `frame` beside the partition; what the block is given puts it in its place. Not called, it is gone."""
        path = self.path(asset, partition)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid4().hex}")

        def put() -> Path:
            temporary.rename(path)
            _sync_folder(path.parent)
            return path

        try:
            with temporary.open("wb") as file:
                frame.write_parquet(file, compression="zstd", metadata=metadata)
                file.flush()
                os.fsync(file.fileno())
            yield put
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, asset: str, partition: str = "all") -> pl.DataFrame:
        return self.scan(asset, partition).collect()

    def scan(self, asset: str, partition: str = "all") -> pl.LazyFrame:
        """The partition, of which only what is asked for is read."""
        path = self.path(asset, partition)
        if not path.exists():
            raise NotFound(
                f"{asset} of {partition} is not in the lake ({path})",
                f"Materialise {asset} first.",
            )
        return pl.scan_parquet(path, glob=False)  # a folder's name may hold [ or *

    def partitions(self, asset: str) -> list[str]:
        """The partitions that are there, sorted; `a/b` for two dimensions."""
        folder = self.root / asset
        files = (path.relative_to(folder) for path in folder.rglob("*.parquet") if not path.name.startswith("."))
        return sorted(str(file.with_suffix("")) for file in files)

    def glob(self, asset: str) -> str:
        """A pattern over all partitions, for DuckDB's read_parquet."""
        return str(self.root.resolve() / asset / "**" / "*.parquet")


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
