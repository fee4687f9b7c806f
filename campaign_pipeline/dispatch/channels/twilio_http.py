"""Twilio's HTTP client with what it lacks: another base URL, a timeout always, and the wait that a 429 asks for."""

from typing import Any
from urllib.parse import urlsplit

from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response

from campaign_pipeline.core.settings import is_loopback


class BaseUrlHttpClient(TwilioHttpClient):
    """Sends every request to `base_url` instead of the host in its URL; follows no redirect, retries nothing."""

    def __init__(self, base_url: str, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self._base = urlsplit(base_url)
        self.retry_after = 0.0  # seconds, of the latest answer
        if self.session is not None and is_loopback(self._base.hostname or ""):
            self.session.trust_env = False  # no proxy stands between us and this machine

    def request(
        self,
        method: str,
        url: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        self.retry_after = 0.0
        target = urlsplit(url)._replace(scheme=self._base.scheme, netloc=self._base.netloc).geturl()
        response = super().request(
            method, target, params, data, headers, auth, timeout or self.timeout, allow_redirects=False
        )
        answered: Any = response.headers or {}
        wait = str(answered.get("Retry-After") or "")
        self.retry_after = float(wait) if wait.isdecimal() else 0.0
        return response
