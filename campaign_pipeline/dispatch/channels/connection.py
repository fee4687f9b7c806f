"""Telling "it never left" from "it may have arrived": the one question that decides whether a resend is safe.

Only a connection that was never made proves that nothing was processed. An error while the request is
written, or while the answer is awaited or read, proves nothing.
"""

import http.client
import ssl
import urllib.request
from typing import Any
from urllib.error import URLError

import requests
import urllib3.exceptions


class NotConnected(OSError):
    """No connection was made: name not found, refused, unreachable, connect timeout, certificate not trusted."""


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except OSError as error:  # ssl.SSLError and socket.gaierror among them: the request was not written yet
            raise NotConnected(*error.args) from error


class _TlsConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except OSError as error:
            raise NotConnected(*error.args) from error


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._shared = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_TlsConnection, req, context=self._shared)


def build_opener(proxies: bool) -> urllib.request.OpenerDirector:
    """An opener that follows no redirect, marks connection failures as NotConnected, and keeps one TLS context."""
    opener = urllib.request.OpenerDirector()
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.ProxyHandler() if proxies else urllib.request.ProxyHandler({}),
        _HttpHandler(),
        _HttpsHandler(ssl.create_default_context()),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ]
    for handler in handlers:
        opener.add_handler(handler)
    return opener


def never_connected(error: BaseException) -> bool:
    """Whether `error`, raised by urllib or requests, proves that no connection was made."""
    if isinstance(error, NotConnected | requests.exceptions.ConnectTimeout):
        return True
    if isinstance(error, URLError):
        return isinstance(error.reason, NotConnected)
    if isinstance(error, requests.exceptions.ConnectionError):
        cause: Any = error.args[0] if error.args else None
        reason: Any = getattr(cause, "reason", None)
        if isinstance(reason, urllib3.exceptions.SSLError):
            reason = reason.args[0] if reason.args else None
        return isinstance(
            reason,
            urllib3.exceptions.NewConnectionError
            | urllib3.exceptions.ConnectTimeoutError
            | ssl.SSLCertVerificationError,
        )
    return False
