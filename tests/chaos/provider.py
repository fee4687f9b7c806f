"""The provider in a process of its own: it can be killed and comes back on the same port, with its record of sends.

As a module it is that process: `python -m tests.chaos.provider PORT`, with the installation's settings in the
environment. It ends when its standard input does, so that it never outlives who started it.
"""

import os
import sys
import threading
import time
from collections.abc import Iterable

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.sandbox.behaviour import Behaviour, EmailRates, TextRates
from campaign_pipeline.sandbox.client import SandboxClient
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from campaign_pipeline.sandbox.ground_truth import FILE
from campaign_pipeline.sandbox.server import serve
from tests.chaos.processes import Process, Processes

START_SECONDS = 60.0
HARMLESS = frozenset({FaultKind.THROTTLE_429})
"""Faults with an answer that says what happened."""

QUIET = Behaviour(
    email=EmailRates(delivered=0, bounced=0, blocked=0), text=TextRates(delivered=0, undelivered={}, replied=0)
)
"""One event a message: that the provider took it."""


class Provider:
    """The sandbox as the chaos suite sees it, on `port`. `faults` are put in force at every start."""

    def __init__(self, processes: Processes, settings: Settings, port: int, faults: Iterable[Fault] = ()) -> None:
        self._processes, self._port, self._faults = processes, port, list(faults)
        self.control = SandboxClient(f"http://127.0.0.1:{port}")
        self._truth = settings.sandbox_dir / FILE
        self._counted, self._lines = 0, 0
        self._unanswered = 0  # in its lives before this one
        self._process: Process | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = self._processes.start("provider", [sys.executable, "-m", __name__, str(self._port)])
        deadline = time.monotonic() + START_SECONDS
        while not self.control.healthy():
            assert self._process.running, self._process.said()
            assert time.monotonic() < deadline, "the sandbox did not start"
            time.sleep(0.02)
        for fault in self._faults:
            self.control.fault(fault)

    def kill(self) -> None:
        assert self._process is not None
        self._unanswered = self.unanswered()
        self._process.kill()

    def only(self, fault: Fault) -> None:
        """This fault instead of all others, from now on."""
        self.calm()
        self._faults.append(fault)
        self.control.fault(fault)

    def calm(self) -> None:
        """No more faults, in this life and any other."""
        self._faults.clear()
        self.control.clear_faults()

    def unanswered(self) -> int:
        """Requests that met a fault after which nobody knows what happened; the last ones before a kill may lack."""
        told = {*HARMLESS, FaultKind.SLOW}
        return self._unanswered + sum(fault["hits"] for fault in self.control.faults() if fault["kind"] not in told)

    def sent(self) -> int:
        """Physical sends so far; reads what is new."""
        if self._truth.exists():
            with self._truth.open("rb") as file:
                file.seek(self._counted)
                new = file.read()
            self._counted += len(new)
            self._lines += new.count(b"\n")
        return self._lines


def _end_with_our_starter() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    threading.Thread(target=_end_with_our_starter, daemon=True).start()
    settings = Settings()  # pyright: ignore[reportCallIssue]
    config = SandboxConfig.from_settings(settings, port=int(sys.argv[1]), behaviour=QUIET, hash_bodies=False)
    serve(config)


if __name__ == "__main__":
    main()
