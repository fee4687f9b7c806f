"""The real SDKs pointed at a sandbox, and a receiver that collects what the sandbox posts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import orjson
from sendgrid import SendGridAPIClient
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

ACCOUNT = "AC" + "0" * 32
TOKEN = "sandbox-secret-not-for-production"
FROM = "+15005550006"


class LocalTwilio(TwilioHttpClient):
    """Twilio's HTTP client with another scheme and host."""

    def __init__(self, base: str, timeout: float = 5) -> None:
        super().__init__(timeout=timeout)
        self.base = base

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        parts = urlsplit(url)
        target = f"{self.base}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return super().request(method, target, *args, **kwargs)


def twilio(base: str, token: str = TOKEN, timeout: float = 5) -> Client:
    return Client(ACCOUNT, token, http_client=LocalTwilio(base, timeout))


def sendgrid(base: str, key: str = TOKEN) -> SendGridAPIClient:
    client = SendGridAPIClient(api_key=key, host=base)
    client.client.timeout = 5
    return client


def mail(*people: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A request that SendGrid takes."""
    return {
        "personalizations": list(people) or [person("ada")],
        "from": {"email": "news@example.com"},
        "subject": "Hello -name-",
        "content": [
            {"type": "text/plain", "value": "Dear -name-, -offer-"},
            {"type": "text/html", "value": '<a href="https://shop.example.com/?a=1&amp;b=2">-offer-</a>'},
        ],
        "categories": ["spring", "variant:plain"],
    } | changes


def person(name: str, message_id: str | None = None, attempt: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "to": [{"email": f"{name}@example.com"}],
        "substitutions": {"-name-": name, "-offer-": "20 % off"},
        "custom_args": {
            "run_id": "spring--20260301t090000z",
            "message_id": message_id or name,
            "attempt": str(attempt),
        },
    } | changes


@dataclass(frozen=True)
class Post:
    path: str  # with its query
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Collects posts; answers with `statuses` one by one, then 200."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def to(self, path: str) -> list[Post]:
        return [post for post in self.posts if post.path.startswith(path)]

    def events(self) -> list[dict[str, Any]]:
        return [event for post in self.to("/webhooks/sendgrid") for event in orjson.loads(post.body)]


@contextmanager
def receiver() -> Iterator[Receiver]:
    collected = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collected.posts.append(Post(self.path, dict(self.headers), body))
            self.send_response(collected.statuses.pop(0) if collected.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collected.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield collected
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
