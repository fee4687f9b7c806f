"""Figures of the receiver, for Prometheus. Labels are few, and none holds a token."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client import disable_created_metrics as leave_out_times_of_creation
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from campaign_pipeline.events.inbox import Inbox
from campaign_pipeline.web.webhooks import WEBHOOKS, Webhook

CONTENT_TYPE = "text/plain; version=0.0.4"
ROUTES = (*WEBHOOKS, "/health", "/healthz", "/metrics")

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_GROUP_SIZES = tuple(2**power for power in range(11))
_WEBHOOK = ("provider", "kind")


class Metrics:
    """The figures of one receiver, in a registry of their own. Counting is safe from any thread."""

    def __init__(self, inbox: Inbox) -> None:
        leave_out_times_of_creation()
        self._registry = of = CollectorRegistry()
        ProcessCollector(registry=of)
        self._requests = Counter("campaigns_receiver_requests", "Requests answered.", ("route", "status"), registry=of)
        self._posts = Counter("campaigns_webhook_requests", "Posts answered.", (*_WEBHOOK, "status"), registry=of)
        self._refused = Counter(
            "campaigns_webhook_refused", "Posts that were turned away, by reason.", (*_WEBHOOK, "reason"), registry=of
        )
        self._bytes = Counter("campaigns_webhook_bytes", "Bytes of bodies made durable.", _WEBHOOK, registry=of)
        self._seconds = Histogram(
            "campaigns_webhook_seconds",
            "Seconds from the headers of a post to its answer.",
            _WEBHOOK,
            buckets=_SECONDS,
            registry=of,
        )
        self._under_way = Gauge("campaigns_webhook_under_way", "Posts under way.", ("provider",), registry=of)
        self._held = Gauge("campaigns_webhook_waiting_bytes", "Bytes of them in memory.", ("provider",), registry=of)
        self._appended = Counter("campaigns_inbox_appended", "Requests that were made durable.", registry=of)
        self._commits = Counter("campaigns_inbox_commits", "Times the disk was waited for.", registry=of)
        self._failures = Counter("campaigns_inbox_failures", "Groups that could not be written.", registry=of)
        self._group_size = Histogram(
            "campaigns_inbox_group_size", "Requests that shared a wait.", buckets=_GROUP_SIZES, registry=of
        )
        self._commit_seconds = Histogram(
            "campaigns_inbox_commit_seconds", "Seconds that the disk took.", buckets=_SECONDS, registry=of
        )
        waiting = Gauge("campaigns_inbox_waiting_bytes", "Bytes that wait for the disk.", registry=of)
        waiting.set_function(lambda: inbox.waiting_bytes)
        inbox.on_commit = self._committed

    def count(self, path: str, status: int) -> None:
        self._requests.labels(_route(path), status).inc()

    def answered(self, webhook: Webhook, path: str, status: int, seconds: float) -> None:
        self.count(path, status)
        self._posts.labels(webhook.provider, webhook.kind, int(status)).inc()
        self._seconds.labels(webhook.provider, webhook.kind).observe(seconds)

    def refused(self, webhook: Webhook, reason: str) -> None:
        self._refused.labels(webhook.provider, webhook.kind, reason).inc()

    def kept(self, webhook: Webhook, size: int) -> None:
        self._bytes.labels(webhook.provider, webhook.kind).inc(size)

    def watch(self, provider: str, posts: Callable[[], int], held_bytes: Callable[[], int]) -> None:
        self._under_way.labels(provider).set_function(posts)
        self._held.labels(provider).set_function(held_bytes)

    def text(self) -> str:
        return generate_latest(self._registry).decode()

    def _committed(self, requests: int, seconds: float, *, failed: bool) -> None:
        if failed:
            self._failures.inc()
            return
        self._appended.inc(requests)
        self._commits.inc()
        self._group_size.observe(requests)
        self._commit_seconds.observe(seconds)


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
