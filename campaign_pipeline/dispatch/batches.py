"""The batch file of a run, as the worker needs it: an index of what there is, and the messages of some batches."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import polars as pl

from campaign_pipeline.core.errors import Inconsistent, NotFound
from campaign_pipeline.core.ids import parse_run_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.dispatch.channels.base import Batch
from campaign_pipeline.dispatch.channels.message import Messages
from campaign_pipeline.messages.skeletons import Arm, MessageSkeleton, read_skeletons

INDEX = ("message_no", "batch_no", "message_id", "contact_id", "send_at", "channel", "step")

SHARED = ("variant", "locale", "step", "pace", "window")
"""Columns in which the messages of a batch are alike."""

EARLIER = {"channel": pl.lit(None, pl.String), "step": pl.lit(0, pl.Int16), "pace": pl.lit(""), "window": pl.lit("")}
"""What stands for columns that files of an earlier version of the product lack; no channel: that of the campaign."""


class Loaded(NamedTuple):
    """One batch of the file: its whole rows, and then what SHARED names."""

    rows: pl.DataFrame
    variant: str
    locale: str
    step: int
    pace: str
    window: str


@dataclass(frozen=True)
class BatchFile:
    lake: Lake
    run_id: str

    def content_hash(self) -> str:
        """24 hex digits of SHA-256 over the messages' file, byte for byte."""
        with self._path().open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:24]

    def index(self, columns: Sequence[str] = INDEX) -> pl.DataFrame:
        """These columns: a row a message."""
        return self._scan().select(columns).collect()

    @property
    def has_fallbacks(self) -> bool:
        """Whether some messages stand by for another channel to have failed."""
        return bool((self.index(["step"])["step"] > 0).any())

    def _scan(self) -> pl.LazyFrame:
        rows = pl.scan_parquet(self._path(), glob=False)
        there = rows.collect_schema().names()
        return rows.with_columns(**{name: value for name, value in EARLIER.items() if name not in there})

    def _path(self) -> Path:
        path = self.lake.path("messages", self.run_id)
        if not path.exists():
            raise NotFound(f"the messages of {self.run_id} are not in the lake", "Materialise messages first.")
        return path

    def load(self, batches: Collection[int]) -> dict[int, Loaded]:
        """These batches, by number. Inconsistent if the messages of one are not alike in SHARED."""
        lowest, highest = min(batches), max(batches)
        between = pl.col("batch_no").is_between(lowest, highest)  # row groups outside are not read
        rows = self._scan().filter(between).collect()
        parts = pl.col("sms_parts").fill_null(1) if "sms_parts" in rows.columns else pl.lit(1)
        by_batch = rows.with_columns(parts=parts).partition_by("batch_no", as_dict=True)
        shared = rows.group_by("batch_no").agg(pl.col(SHARED).unique())
        for row in shared.filter(pl.any_horizontal(pl.col(SHARED).list.len() > 1)).iter_rows(named=True):
            different = [name for name in SHARED if len(row[name]) > 1]
            raise Inconsistent(
                f"{self.run_id}: the messages of batch {row['batch_no']} differ by {' and '.join(different)}"
            )
        alike = shared.select("batch_no", pl.col(SHARED).list.first()).iter_rows()
        return {batch_no: Loaded(by_batch[batch_no,], *values) for batch_no, *values in alike}

    def batch(self, loaded: Mapping[int, Loaded], batch_no: int, attempt: int, messages: Collection[int]) -> Batch:
        """The batch out of what was `loaded`, with only the given messages of it."""
        rows, variant, locale, step, pace, window = loaded[batch_no]
        whole = rows.height == len(messages)
        chosen = rows if whole else rows.filter(pl.col("message_no").is_in(list(messages)))
        return Batch(
            run_id=self.run_id,
            campaign=parse_run_id(self.run_id)[0],
            variant=variant,
            batch_no=batch_no,
            attempt=attempt,
            skeleton=self.skeletons(step)[variant, locale],
            messages=Messages(chosen),
            step=step,
            pace=pace,
            window=window,
            whole=whole,
        )

    def skeletons(self, step: int = 0) -> dict[Arm, MessageSkeleton]:
        """By variant and locale."""
        if step not in self._skeletons:
            self._skeletons[step] = read_skeletons(self.lake.read("skeletons", self.run_id), step)
        return self._skeletons[step]

    @cached_property
    def _skeletons(self) -> dict[int, dict[Arm, MessageSkeleton]]:
        return {}
