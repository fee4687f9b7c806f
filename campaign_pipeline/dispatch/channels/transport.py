"""The way to one provider, shared by all threads of a channel: one session in an event loop of its own.

Threads hand it their requests and wait; there the requests are under way together. What sends is a POST, and each is
made once (a GET may be repeated by aiohttp, if its kept connection was closed); no redirect is followed, everything has
a timeout.
"""

import asyncio
import ssl
from collections.abc import Coroutine, Mapping
from io import BytesIO
from typing import Any, NamedTuple, Self, TypeVar

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from campaign_pipeline.dispatch.channels.background import BackgroundLoop
from campaign_pipeline.dispatch.channels.connection import NoAnswer, NotConnected, never_connected, proxy_to

T = TypeVar("T")

KEEP_ALIVE = 4.0
"""Seconds for which an idle connection is used again. Servers close theirs after 5 or more: a request that meets the
closing is in doubt, so ours are given up first."""

LARGE_BODY = 2**20
"""Bytes from which a body is written in pieces, so that other requests get their turn."""


class Answer(NamedTuple):
    """A whole answer, whatever it says."""

    status: int
    headers: Mapping[str, str]  # by name in any case
    body: bytes


class Transport:
    """Requests to the provider at `base_url`, as a context manager.

    `timeout`: seconds to connect, and then for each wait for the provider; a request takes at most twice as long.
    `concurrency`: requests under way at once. Who makes many takes a place for each (`async with transport.place`), so
    that none waits for a connection while its time runs out.
    """

    _session: ClientSession

    def __init__(self, base_url: str, *, timeout: float, concurrency: int) -> None:
        self.concurrency = concurrency
        self.place = asyncio.Semaphore(concurrency)
        self._base = base_url.rstrip("/")
        self._proxy = proxy_to(self._base)
        self._timeout = ClientTimeout(total=2 * timeout, connect=timeout, sock_read=timeout)
        self._background = BackgroundLoop(f"transport to {self._base}")

    def __enter__(self) -> Self:
        self._background.start()
        self._session = self.run(self._open())
        return self

    def __exit__(self, *error: object) -> None:
        self._background.stop(self._session.close())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises; it runs in the transport's loop while this thread waits."""
        return self._background.run(work)

    async def request(self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """The answer to one request; `path` is encoded and may have a query.

        Raises NotConnected if nothing of the request left, and NoAnswer if it may have arrived.
        """
        data = BytesIO(body) if body and len(body) >= LARGE_BODY else body
        url = URL(self._base + path, encoded=True)
        try:
            async with self._session.request(
                method, url, headers=headers, data=data, allow_redirects=False, proxy=self._proxy
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except (ClientError, OSError) as error:  # OSError: TimeoutError among them
            raise (NotConnected if never_connected(error) else NoAnswer)(type(error).__name__) from error

    async def _open(self) -> ClientSession:
        tls = ssl.create_default_context() if self._base.startswith("https:") else True
        connector = TCPConnector(limit=self.concurrency, keepalive_timeout=KEEP_ALIVE, ssl=tls)
        return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), timeout=self._timeout)
