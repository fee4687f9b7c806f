"""The chunks of a run, rendered in this process or, where it pays, by several."""

import multiprocessing
import os
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import polars as pl

from campaign_pipeline.messages.chunks import Failure, Job, RenderedChunk, render_chunk
from campaign_pipeline.messages.environment import RECORDS

CHUNK = 40_000
"""Messages that are rendered together: what a worker holds in memory."""

WORTH_IT = 400_000
"""Messages from which on other processes save more than their start costs."""

ENOUGH_CORES = 4
"""With fewer, moving the messages between processes costs what the second core gains: Polars uses both anyway."""

_COLUMNS = ("contact_id", "variant", "locale", "address", "send_at", "window", "pace", *RECORDS)


def rendered_chunks(
    job: Job, planned: pl.DataFrame, workers: int, order: pl.Series | None = None
) -> Iterator[tuple[int, RenderedChunk]]:
    """(rows, what they became) of chunk after chunk of `planned`, in order, or in the given `order` of its rows."""
    rows = planned.select(name for name in _COLUMNS if name in planned.columns)
    starts = range(0, planned.height, CHUNK)
    chunks = (rows.slice(start, CHUNK) if order is None else rows[order.slice(start, CHUNK)] for start in starts)
    count = workers or _one_a_core()
    if count == 1 or planned.height < WORTH_IT:
        for chunk in chunks:
            yield chunk.height, render_chunk(job, chunk)
        return
    with pool(job, count) as executor:
        yield from _in_order(executor, chunks, ahead=count + 1)


def _one_a_core() -> int:
    cores = os.cpu_count() or 1
    return cores if cores >= ENOUGH_CORES else 1


@contextmanager
def pool(job: Job, workers: int) -> Generator[ProcessPoolExecutor]:
    """Processes that render chunks of `job`, each on one core."""
    before = os.environ.get("POLARS_MAX_THREADS")
    os.environ["POLARS_MAX_THREADS"] = "1"  # read when a worker imports Polars; this process has done so
    try:
        with ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), initializer=_start, initargs=(job,)
        ) as executor:
            yield executor
    finally:
        if before is None:
            del os.environ["POLARS_MAX_THREADS"]
        else:
            os.environ["POLARS_MAX_THREADS"] = before


def _in_order(
    executor: ProcessPoolExecutor, chunks: Iterator[pl.DataFrame], ahead: int
) -> Iterator[tuple[int, RenderedChunk]]:
    """At most `ahead` chunks are under way at once, so that memory is bounded."""
    under_way: deque[tuple[int, Future[tuple[bytes, list[Failure]]]]] = deque()
    for chunk in chunks:
        under_way.append((chunk.height, executor.submit(render_packed, _packed(chunk))))
        if len(under_way) >= ahead:
            yield _next(under_way)
    while under_way:
        yield _next(under_way)


def _next(under_way: deque[tuple[int, Future[tuple[bytes, list[Failure]]]]]) -> tuple[int, RenderedChunk]:
    height, future = under_way.popleft()
    packed, failures = future.result()
    return height, RenderedChunk(_unpacked(packed), failures)


@dataclass
class _Worker:
    job: Job | None = None


_worker = _Worker()


def _start(job: Job) -> None:
    _worker.job = job


def render_packed(chunk: bytes) -> tuple[bytes, list[Failure]]:
    """What a worker does: a chunk as Arrow in, its messages as Arrow out."""
    assert _worker.job is not None
    rendered = render_chunk(_worker.job, _unpacked(chunk))
    return _packed(rendered.messages), rendered.failures


def _packed(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_ipc(buffer)
    return buffer.getvalue()


def _unpacked(data: bytes) -> pl.DataFrame:
    return pl.read_ipc(BytesIO(data))
