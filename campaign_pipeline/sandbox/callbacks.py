"""Posts from the sandbox to the event receiver: bounded concurrency, retries, disturbances on demand.

A job is a coroutine that posts what belongs together in its order (the statuses of one text, one batch of
events); jobs run side by side. `pending` counts everything that was promised and not yet settled.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, TypeVar

import aiohttp
import orjson
from yarl import URL

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.sandbox.config import CallbackOptions
from campaign_pipeline.sandbox.keys import WebhookKey
from campaign_pipeline.sandbox.loopback import is_local

Job = Callable[[], Awaitable[None]]
T = TypeVar("T")
LONGEST_PAUSE = 5.0

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
"""User agent of the people that the sandbox plays."""

log = logging.getLogger(__name__)


@dataclass
class Counts:
    """What became of posts; `events` counts SendGrid events, the others requests."""

    posted: int = 0  # answered 2xx
    retried: int = 0
    failed: int = 0  # given up, or the job broke
    refused: int = 0  # not on loopback: never posted
    events: int = 0  # in posts that were answered 2xx
    lost: int = 0  # left out on demand (loss_share)
    duplicated: int = 0  # doubled on demand (duplicate_share)


class Callbacks:
    def __init__(self, options: CallbackOptions, events_url: str, key: WebhookKey, clock: Clock, seed: int) -> None:
        self.options = options
        self.counts = Counts()
        self._events_target = f"{events_url}/webhooks/sendgrid" if events_url else ""
        self._key, self._clock = key, clock
        self._random = Random(seed)  # noqa: S311  (disturbances, not secrets)
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._events: deque[dict[str, Any]] = deque()
        self._event_came = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._unsettled = 0
        self._session: aiohttp.ClientSession | None = None

    @property
    def pending(self) -> int:
        return self._unsettled + len(self._events) + len(self._timers)

    def stats(self) -> dict[str, int]:
        return {"pending": self.pending, **asdict(self.counts)}

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self.options.timeout_seconds),
            connector=aiohttp.TCPConnector(limit=self.options.concurrency),
            trust_env=False,
        )
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self.options.concurrency)]
        self._tasks.append(asyncio.create_task(self._collect_events()))

    async def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    async def reset(self) -> None:
        """Drop everything that is pending, and start the counts afresh; a post under way is broken off."""
        await self.stop()
        self._jobs, self._unsettled = asyncio.Queue(), 0
        self._events.clear()
        self._timers.clear()
        self.counts = Counts()
        await self.start()

    def submit(self, job: Job) -> None:
        self._unsettled += 1
        self._jobs.put_nowait(job)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call after `seconds` of real time; pending until then."""

        def due() -> None:
            self._timers.discard(timer)
            call()

        timer = asyncio.get_running_loop().call_later(seconds, due)
        self._timers.add(timer)

    def add_event(self, event: dict[str, Any]) -> None:
        """Post this SendGrid event with the next batch (nowhere, if there is no receiver)."""
        if self._events_target:
            self._events.append(event)
            self._event_came.set()

    def disturb(self, items: list[T]) -> list[T]:
        """The items with losses, repetitions and disorder as ordered; as they are by default."""
        options, result = self.options, list[T]()
        if not (options.loss_share or options.duplicate_share or options.shuffle):
            return items
        for item in items:
            if self._random.random() < options.loss_share:
                self.counts.lost += 1
                continue
            result.append(item)
            if self._random.random() < options.duplicate_share:
                self.counts.duplicated += 1
                result.append(item)
        if options.shuffle:
            self._random.shuffle(result)
        return result

    async def post(self, url: str, body: bytes, headers: Callable[[], Mapping[str, str]], attempts: int) -> bool:
        """Whether one of `attempts` posts was answered 2xx; `headers` are made anew each time."""
        if not is_local(url):
            self.counts.refused += 1
            log.warning("refused to post to another machine: the sandbox posts to loopback only")
            return False
        assert self._session is not None, "callbacks are not started"
        await asyncio.sleep(self.options.delay_seconds)
        pause = self.options.retry_seconds
        for attempt in range(1, attempts + 1):
            try:
                target = URL(url, encoded=True)
                async with self._session.post(target, data=body, headers=headers(), allow_redirects=False) as answer:
                    await answer.read()
                    if 200 <= answer.status < 300:
                        self.counts.posted += 1
                        return True
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.debug("a post failed: %s", type(error).__name__)
            if attempt < attempts:
                self.counts.retried += 1
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        self.counts.failed += 1
        return False

    async def follow(self, url: str) -> None:
        """What a browser does with a link: but only on this machine, and no further than the first answer."""
        if not is_local(url):
            return
        assert self._session is not None, "callbacks are not started"
        headers = {"User-Agent": BROWSER}
        async with self._session.get(URL(url, encoded=True), allow_redirects=False, headers=headers) as answer:
            await answer.read()

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                await job()
            except Exception:
                self.counts.failed += 1
                log.exception("a callback job broke")
            finally:
                self._unsettled -= 1

    async def _collect_events(self) -> None:
        while True:
            await self._event_came.wait()
            if len(self._events) < self.options.batch_size:
                await asyncio.sleep(self.options.linger_seconds)
            self._event_came.clear()
            events = list(self._events)
            events = self.disturb(events)
            size = self.options.batch_size
            for start in range(0, len(events), size):
                self.submit(self._batch(events[start : start + size]))
            self._events.clear()  # after the jobs were counted, so that `pending` never shows a gap

    def _batch(self, events: list[dict[str, Any]]) -> Job:
        async def job() -> None:
            body = orjson.dumps(events)

            def headers() -> Mapping[str, str]:
                signed = self._key.headers(body, int(self._clock().timestamp()))
                return {"Content-Type": "application/json", "User-Agent": "SendGrid Event API", **signed}

            if await self.post(self._events_target, body, headers, self.options.sendgrid_attempts):
                self.counts.events += len(events)

        return job
