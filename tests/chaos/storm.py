"""A storm: workers send a run while things go wrong at random moments, until nothing is left to send.

A worker that ends, however it ends, is replaced; the moments are drawn from a seed, over the whole of the run.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from campaign_pipeline.core.progress import Progress
from tests.chaos.processes import KILLED, Process
from tests.chaos.world import World

LATEST = 0.8
"""Share of the messages after which nothing goes wrong any more: the rest is sent in peace."""

EARLY = 0.2
"""Share of mishaps that come while a worker starts and reads the ledger, not while it sends."""

START_SECONDS = 0.5
HESITATION_SECONDS = 0.03
"""About as long as a request takes, so that each step of the protocol is hit."""

POLL_SECONDS = 0.002


@dataclass
class Storm:
    world: World
    run_id: str
    messages: int
    random: Random
    workers: int = 1
    seconds: float = 120.0  # after which it is given up
    progress: Progress = lambda _done, _total: None
    kills: int = 0  # processes that were running and were killed
    provider_kills: int = 0  # ... of these, the provider
    endings: Counter[int] = field(default_factory=Counter[int])  # workers by exit code
    next_environment: dict[str, str] = field(default_factory=dict[str, str])  # of the next worker only
    lives: list[Process] = field(default_factory=list[Process])  # workers that run, or were not looked at since
    over: bool = False

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.seconds

    def rage(self, mishaps: Sequence[Callable[["Storm"], None]]) -> None:
        """Let `mishaps` happen in this order, then send what is left. TimeoutError, with what was said, if it hangs."""
        moments = sorted(self.random.uniform(0, LATEST * self.messages) for _ in mishaps)
        for moment, mishap in zip(moments, mishaps, strict=True):
            self._wait_for(moment)
            mishap(self)
        self.finish()

    def finish(self) -> None:
        """Let workers run until nothing is left to send, and all of them have ended."""
        while not self.over or self.running():
            self.tend()
            time.sleep(POLL_SECONDS)

    def go_on(self, mishaps: Sequence[Callable[["Storm"], None]] = ()) -> None:
        """There is something to send again: let workers do so, through `mishaps`."""
        self.over = False
        self.rage(mishaps)

    def until_sent(self, count: float) -> None:
        """Until so many messages have left: at this moment a request is being answered."""
        while self.world.provider.sent() < count and not self.over:
            self.tend()
            time.sleep(POLL_SECONDS)

    def running(self) -> list[Process]:
        return [process for process in self.lives if process.running]

    def start_worker(self) -> None:
        environment, self.next_environment = self.next_environment, {}
        self.lives.append(self.world.work(self.run_id, **environment))

    @property
    def deaths(self) -> int:
        """Workers that did not end by themselves: each may have left doubt behind."""
        return sum(number for code, number in self.endings.items() if code != 0)

    def unexpected(self) -> Counter[int]:
        """Workers that neither ended well nor were killed, by exit code."""
        return Counter({code: number for code, number in self.endings.items() if code not in (0, KILLED)})

    def _wait_for(self, moment: float) -> None:
        """Until so many messages have left and the workers of now have sent something, or earlier in their life."""
        self.tend()
        if self.random.random() < EARLY:
            self._pause(self.random.uniform(0, START_SECONDS))
            return
        self.until_sent(max(moment, self.world.provider.sent() + 1))
        time.sleep(self.random.uniform(0, HESITATION_SECONDS))

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.tend()
            time.sleep(POLL_SECONDS)

    def tend(self) -> None:
        """Replace the workers that ended, unless nothing is left for them."""
        if time.monotonic() > self._deadline:
            last = self.lives[-1].said() if self.lives else ""
            raise TimeoutError(f"not over after {self.seconds:g} s; endings {dict(self.endings)}\n{last}")
        ended = [process for process in self.lives if not process.running]
        self.lives = [process for process in self.lives if process not in ended]
        self.endings.update(process.code or 0 for process in ended)
        if any(process.code == 0 for process in ended):
            self.over = self.world.open_messages(self.run_id) == 0
        while not self.over and len(self.lives) < self.workers:
            self.start_worker()
        self.progress(self.world.provider.sent(), self.messages)
