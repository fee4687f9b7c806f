"""Telling "it never left" from "it may have arrived": the one question that decides whether a resend is safe.

Only a connection that was never made proves that nothing was processed. An error while the request is
written, or while the answer is awaited or read, proves nothing; nor does a kept connection that turns out to be
closed: the provider may have closed it after it read the request.
"""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohttp import (
    ClientConnectorError,
    ClientHttpProxyError,
    ConnectionTimeoutError,
    InvalidURL,
    NonHttpUrlClientError,
)

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.settings import is_loopback

_NEVER_CONNECTED = (
    ClientConnectorError,  # name not found, refused, unreachable, TLS not agreed upon, certificate not trusted
    ConnectionTimeoutError,
    ClientHttpProxyError,  # the proxy opened no tunnel
    InvalidURL,
    NonHttpUrlClientError,
)


class NotConnected(Exception):
    """No connection was made: nothing of the request left."""


class NoAnswer(Exception):
    """The request may have arrived, but no whole answer came."""


def never_connected(error: BaseException) -> bool:
    """Whether `error`, raised by aiohttp for one request, proves that no connection was made for it."""
    return isinstance(error, _NEVER_CONNECTED)


def proxy_to(url: str) -> str | None:
    """The proxy that the environment (HTTPS_PROXY, ALL_PROXY, NO_PROXY) names for `url`; none to this machine.

    InvalidInput for a proxy that does not speak HTTP.
    """
    target = urlsplit(url)
    host = target.hostname or ""
    if is_loopback(host) or proxy_bypass(target.netloc):
        return None
    known = getproxies()
    proxy = known.get(target.scheme) or known.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    scheme = urlsplit(proxy).scheme
    if scheme not in ("http", "https"):
        raise InvalidInput(
            f"the environment names a {scheme} proxy for {host}, which requests cannot go through",
            "Name an HTTP proxy in HTTPS_PROXY, or list the host in NO_PROXY.",
        )
    return proxy
