"""Running the receiver: in this process for `campaigns serve`, in a thread for tests."""

import socket
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from campaign_pipeline.core.errors import CampaignError
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.inbox import Inbox
from campaign_pipeline.web.receiver import create_app

CONNECTIONS = 1_000
"""More at once are answered 503: the providers come again."""
KEEP_ALIVE_SECONDS = 75
"""Longer than proxies keep a connection, so that none of them posts to one that we are closing."""
BACKLOG = 2048
START_SECONDS = 20.0
STOP_SECONDS = 20.0


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until the process is told to end (SIGINT, SIGTERM); what was acknowledged is durable by then."""
    uvicorn.Server(_config(settings, host, port)).run()


def _config(settings: Settings, host: str, port: int) -> uvicorn.Config:
    return configure(create_app(settings, Inbox(settings.inbox_dir, settings.clock)), host, port)


def configure(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    """How the receiver is served: by uvicorn, with httptools and uvloop where they are installed."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,  # paths hold unsubscribe tokens
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=int(STOP_SECONDS / 2),
        ws="none",
        lifespan="on",
    )


class ReceiverServer:
    """The receiver on a free loopback port while a block lasts.

    `url` is where it listens; `settings` are those given, with `public_url` set to it.
    """

    def __init__(self, settings: Settings) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.settings = settings.model_copy(update={"public_url": self.url})
        self._server = uvicorn.Server(_config(self.settings, "127.0.0.1", 0))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="receiver", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self._stop()
                raise CampaignError("the event receiver did not start")
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._socket.close()
