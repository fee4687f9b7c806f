"""The inbox: every accepted request, on disk before it is answered.

Group commit: requests that wait at the same time share one fsync. They hand their line over through a deque to one
writer thread (swapping lists between threads can lose what is appended during the swap). Files only grow, one writer
each; a new one is begun when one is full and after every failed write, so that a torn line is always a file's last.
"""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.errors import Refused
from campaign_pipeline.events.record import PROVIDER, to_line

FILE_BYTES = 64 * 2**20
"""A file of about this size is full."""
WAITING_BYTES = 64 * 2**20
"""More than this is not held in memory for the disk: the provider is told to come again."""


PROBE_BYTES = 4096


class OnCommit(Protocol):
    """Told of each group by the writer thread: its requests, the seconds that the disk took, and whether it failed."""

    def __call__(self, requests: int, seconds: float, *, failed: bool) -> None: ...


class InboxFull(Refused):
    """The disk is slower than the requests: nothing was kept of this one."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    provider: str
    line: bytes
    answer: asyncio.Future[None]


class Inbox:
    """Appends to `folder`. Start it, `await append(...)` from one event loop, close it (or use it as a context)."""

    def __init__(
        self, folder: Path, clock: Clock, *, file_bytes: int = FILE_BYTES, waiting_bytes: int = WAITING_BYTES
    ) -> None:
        self.folder, self.clock = folder, clock
        self.appended = self.commits = 0  # for /metrics
        self.waiting_bytes = 0
        self.on_commit: OnCommit | None = None
        self._file_bytes, self._limit = file_bytes, waiting_bytes
        self._queue: deque[_Waiting] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._files: dict[str, BinaryIO] = {}
        self._thread = threading.Thread(target=self._write_on, name="inbox-writer", daemon=True)

    def start(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Write what waits, and end."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._close_files()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive() and not self._stopping

    def probe(self) -> None:
        """Write a little beside the files, and take it away again; OSError says what is wrong with the disk."""
        path = self.folder / f".probe-{os.getpid()}"
        try:
            with path.open("wb") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)

    async def append(self, provider: str, kind: str, query: Mapping[str, str], body: bytes) -> None:
        """Return when the request is durable. OSError: it is not. InboxFull: too much waits already."""
        assert PROVIDER.fullmatch(provider), provider  # it names a file
        line = to_line(self.clock(), provider, kind, query, body)
        if not self.is_running or self.waiting_bytes + len(line) > self._limit:
            raise InboxFull("the inbox takes nothing at the moment", "Check the disk under CAMPAIGN_DATA_DIR.")
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting_bytes += len(line)
        try:
            self._queue.append(_Waiting(provider, line, answer))
            self._wake.set()
            await answer
        finally:
            self.waiting_bytes -= len(line)

    def _write_on(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            stopping = self._stopping  # read before the queue: what was appended before it is still drained
            group: list[_Waiting] = []
            while self._queue:
                group.append(self._queue.popleft())
            if group:
                self._commit(group)
            if stopping:
                return

    def _commit(self, group: list[_Waiting]) -> None:
        error: Exception | None = None
        begun = time.perf_counter()
        try:
            by_provider: dict[str, list[bytes]] = {}
            for waiting in group:
                by_provider.setdefault(waiting.provider, []).append(waiting.line)
            for provider, lines in by_provider.items():
                self._append(provider, b"".join(lines))
            self.appended += len(group)
            self.commits += 1
        except Exception as failure:  # noqa: BLE001  (whatever it was, each request must hear of it)
            error = failure
            self._abandon_files()
        if self.on_commit:
            self.on_commit(len(group), time.perf_counter() - begun, failed=error is not None)
        loop = group[0].answer.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_answer, group, error)

    def _append(self, provider: str, data: bytes) -> None:
        file = self._files.get(provider)
        if file is None or file.tell() >= self._file_bytes:
            if file:
                file.close()
            file = self._files[provider] = self._new_file(provider)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

    def _new_file(self, provider: str) -> BinaryIO:
        """A file that nobody else writes, its name durable; a number tells those of one second apart."""
        stem = f"{provider}-{self.clock():%Y%m%dt%H%M%S}-{os.getpid()}"
        number = 0
        while True:
            path = self.folder / f"{stem}{f'-{number}' if number else ''}.jsonl"
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # personal data
                break
            except FileExistsError:
                number += 1
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return os.fdopen(handle, "wb")

    def _close_files(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _abandon_files(self) -> None:
        """After a failed write: nothing may follow half a line, and what is buffered was not acknowledged."""
        for file in self._files.values():
            try:
                file.close()  # flushes, and may fail as the write did
            except OSError:
                continue  # reported by the write already
        self._files.clear()


def _answer(group: list[_Waiting], error: Exception | None) -> None:
    for waiting in group:
        if waiting.answer.done():  # the client went away: cancelled
            continue
        if error:
            waiting.answer.set_exception(error)
        else:
            waiting.answer.set_result(None)
