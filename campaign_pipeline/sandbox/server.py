"""Running a sandbox: blocking for the command line, in a background thread for the demo and tests."""

import asyncio
import logging
import signal
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import polars as pl
from aiohttp import web

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.sandbox.app import build_app
from campaign_pipeline.sandbox.client import SandboxClient
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.ground_truth import read_sends

START_SECONDS = 15.0
SHUTDOWN_SECONDS = 1.0  # for requests under way

log = logging.getLogger(__name__)


def serve(
    config: SandboxConfig, on_ready: Callable[[str], None] | None = None, tls: ssl.SSLContext | None = None
) -> None:
    """Run until SIGINT or SIGTERM; `on_ready` gets the base URL. InvalidInput if the port is taken."""

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await _run(config, stop, on_ready or (lambda url: log.info("the sandbox listens on %s", url)), tls)

    asyncio.run(run())


async def _run(
    config: SandboxConfig, stop: asyncio.Event, on_ready: Callable[[str], None], tls: ssl.SSLContext | None = None
) -> None:
    runner = web.AppRunner(build_app(config), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, config.host, config.port, backlog=1024, ssl_context=tls).start()
        except OSError as error:
            raise InvalidInput(
                f"the sandbox cannot listen on {config.host}:{config.port}: {error.strerror}", "Choose another port."
            ) from None
        host = f"[{config.host}]" if ":" in config.host else config.host
        on_ready(f"{'https' if tls else 'http'}://{host}:{runner.addresses[0][1]}")
        await stop.wait()
    finally:
        await runner.cleanup()


class SandboxServer:
    """A sandbox in a background thread, as a context manager.

    `url` is its base URL, `control` its control routes, `sends()` its ground truth.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.url = ""
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="sandbox", daemon=True)

    def start(self) -> Self:
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise InvalidInput(f"the sandbox did not start within {START_SECONDS:g} s")
        if self._failure:
            raise self._failure
        return self

    def stop(self) -> None:
        if self._loop and self._stop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    @property
    def control(self) -> SandboxClient:
        return SandboxClient(self.url)

    def sends(self) -> pl.DataFrame:
        """The ground truth so far: columns ground_truth.SENDS."""
        return read_sends(self.config.folder)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  (handed to the thread that started this one)
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        def ready(url: str) -> None:
            self.url = url
            self._ready.set()

        await _run(self.config, self._stop, ready)
