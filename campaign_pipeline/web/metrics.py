"""Figures of the receiver, in Prometheus' text format."""

from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from campaign_pipeline.events.inbox import Inbox

ROUTES = ("/webhooks/sendgrid", "/webhooks/twilio/status", "/webhooks/twilio/inbound", "/healthz", "/metrics")


class Metrics:
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._requests: Counter[tuple[str, int]] = Counter()

    def count(self, path: str, status: int) -> None:
        self._requests[_route(path), status] += 1

    def text(self) -> str:
        lines = [
            "# HELP campaigns_receiver_requests_total Requests answered.",
            "# TYPE campaigns_receiver_requests_total counter",
            *(
                f'campaigns_receiver_requests_total{{route="{route}",status="{status}"}} {number}'
                for (route, status), number in sorted(self._requests.items())
            ),
        ]
        for name, kind, help_text, value in (
            ("inbox_appended_total", "counter", "Requests that were made durable.", self._inbox.appended),
            ("inbox_commits_total", "counter", "Times the disk was waited for.", self._inbox.commits),
            ("inbox_waiting_bytes", "gauge", "Bytes that wait for the disk.", self._inbox.waiting_bytes),
        ):
            lines += [
                f"# HELP campaigns_{name} {help_text}",
                f"# TYPE campaigns_{name} {kind}",
                f"campaigns_{name} {value}",
            ]
        return "\n".join(lines) + "\n"


class CountRequests:
    """ASGI middleware: counts every answer by route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count(scope["path"], message["status"])
            await send(message)

        await self._app(scope, receive, counting)


def _route(path: str) -> str:
    """A few labels only, none of which holds a token."""
    if path.startswith(("/u/", "/c/", "/p/", "/v/", "/r/", "/m/")):
        return path[:2]
    return path if path in ROUTES else "other"
