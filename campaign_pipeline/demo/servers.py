"""The sandbox and the event receiver as processes of their own, on free loopback ports, while a block lasts."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from campaign_pipeline.core.errors import CampaignError

START_SECONDS = 30.0
STOP_SECONDS = 10.0
ANSWER_SECONDS = 5.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def server(name: str, arguments: list[str], health_url: str, logs: Path) -> Generator[None]:
    """`campaigns <arguments>` in a process of its own, with this process's environment, ended when the block ends."""
    log = logs / f"{name}.log"
    logs.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  (our own interpreter and package)
            [sys.executable, "-m", "campaign_pipeline.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            _wait_until_up(name, process, health_url, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_up(name: str, process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with opener.open(url, timeout=ANSWER_SECONDS):
                return
        except OSError:
            time.sleep(0.05)
    raise CampaignError(f"the {name} did not start", f"See {log}.")
