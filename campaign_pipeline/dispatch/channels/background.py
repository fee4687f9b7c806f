"""An event loop in a thread of its own, shared by all threads of a channel: they hand it their work and wait."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class BackgroundLoop:
    """`start`, then `run` as often as wanted and from any thread, then `stop`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises; it runs in the loop while this thread waits."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self, last: Coroutine[Any, Any, object]) -> None:
        """End what is under way; then do `last`, and end the loop."""
        self.run(_cancel_all())
        self.run(last)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    under_way = asyncio.all_tasks() - {asyncio.current_task()}
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
