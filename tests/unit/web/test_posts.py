"""A webhook's post without a server: what is turned away, why, and what of it is kept or said: nothing."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events import inbox as inbox_module
from campaign_pipeline.events.inbox import Inbox
from campaign_pipeline.events.normalise import PARSERS
from campaign_pipeline.web.health import Health
from campaign_pipeline.web.metrics import Metrics
from campaign_pipeline.web.posts import REFUSALS, Posts
from campaign_pipeline.web.webhooks import ACCEPTED, WEBHOOKS, Verify, Webhook

SECRET = b"ann@example.com"


def good(headers: Mapping[str, str], url: str, body: bytes, settings: Settings) -> None:
    assert headers.get("X-Signature", "good") == "good"


def hook(verify: Verify = good, provider: str = "sendgrid", most_bytes: int = 0) -> Webhook:
    return Webhook(provider, "events", verify, ACCEPTED, most_bytes)


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Posts to one `Posts`; a body is bytes, or messages that a server would hand over, each when it comes."""

    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self.metrics = Metrics(inbox)
        self._posts = Posts(settings, inbox, self.metrics)

    async def post(
        self,
        webhook: Webhook,
        body: bytes | AsyncIterator[bytes | None],
        *,
        method: str = "POST",
        query: bytes = b"",
        **headers: str,
    ) -> Reply | None:
        sent: list[Any] = []
        pieces = _whole(body) if isinstance(body, bytes) else body

        async def receive() -> dict[str, Any]:
            piece = await anext(pieces, b"")
            if piece is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": piece, "more_body": piece != b""}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": "/webhooks/sendgrid",
            "query_string": query,
            "headers": [(name.lower().replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        await self._posts.take(webhook, scope, receive, send)
        if not sent:
            return None
        start, end = sent
        return Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, end["body"])

    def figure(self, line: str) -> float:
        found = [text for text in self.metrics.text().splitlines() if text.startswith(f"{line} ")]
        return float(found[0].split()[-1]) if found else 0.0


async def _whole(body: bytes) -> AsyncIterator[bytes | None]:
    yield body


async def never() -> AsyncIterator[bytes | None]:
    yield b"["
    await asyncio.Event().wait()


@pytest.fixture
def small(settings: Settings) -> Settings:
    changes = {"receiver_max_bytes": 1024, "receiver_body_seconds": 0.05, "receiver_requests": 3}
    return settings.model_copy(update=changes | {"receiver_waiting_bytes": 1500})


def run(settings: Settings, work: Callable[[Client], Awaitable[None]]) -> Client:
    async def within() -> Client:
        client = Client(settings, inbox)
        await work(client)
        return client

    with Inbox(settings.inbox_dir, settings.clock) as inbox:
        return asyncio.run(within())


def kept(settings: Settings) -> bytes:
    return b"".join(file.read_bytes() for file in settings.inbox_dir.glob("*.jsonl"))


def turned_away(reply: Reply | None, reason: str) -> bool:
    assert reply
    return (reply.status, reply.body) == (REFUSALS[reason].status, REFUSALS[reason].body)


def test_each_webhook_has_a_parser_and_a_path_of_its_own() -> None:
    served = [(webhook.provider, webhook.kind) for webhook in WEBHOOKS.values()]
    assert len(set(served)) == len(served)
    assert set(served) <= PARSERS.keys()
    assert all(path.startswith(f"/webhooks/{webhook.provider}") for path, webhook in WEBHOOKS.items())


def test_a_verifier_sees_the_public_url_the_headers_and_the_bytes(settings: Settings) -> None:
    seen: list[object] = []

    def verify(headers: Mapping[str, str], url: str, body: bytes, settings: Settings) -> None:
        seen.extend((headers["X-SIGNATURE"], url, body))

    async def work(client: Client) -> None:
        reply = await client.post(hook(verify), b"[\xff]", query=b"a=%20b&c=", x_signature="s")
        assert reply == Reply(202, {"content-length": "0"}, b"")

    public = settings.model_copy(update={"public_url": "https://events.example.com/hooks/"})
    client = run(public, work)
    assert seen == ["s", "https://events.example.com/hooks/webhooks/sendgrid?a=%20b&c=", b"[\xff]"]
    assert b'"query":{"a":" b","c":""}' in kept(settings)
    assert client.figure('campaigns_webhook_bytes_total{kind="events",provider="sendgrid"}') == 3
    assert client.figure('campaigns_webhook_requests_total{kind="events",provider="sendgrid",status="202"}') == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Refused("no key is configured", "Set CAMPAIGN_X."), "unproven"),
        (InvalidInput("it has no token"), "malformed"),
        (OSError(5, "Input/output error"), "unavailable"),
        (TimeoutError("the disk"), "unavailable"),
        (KeyError(SECRET), "failed"),
    ],
)
def test_what_a_verifier_raises_is_an_answer_and_nothing_is_kept(
    settings: Settings, caplog: pytest.LogCaptureFixture, error: Exception, reason: str
) -> None:
    def verify(headers: Mapping[str, str], url: str, body: bytes, settings: Settings) -> None:
        raise error

    async def work(client: Client) -> None:
        for _ in range(3):
            assert turned_away(await client.post(hook(verify), SECRET), reason)

    client = run(settings, work)
    assert kept(settings) == b""
    labels = f'{{kind="events",provider="sendgrid",reason="{reason}"}}'
    assert client.figure(f"campaigns_webhook_refused_total{labels}") == 3
    [logged] = caplog.records  # once, however often
    assert logged.levelno == logging.WARNING
    assert f"sendgrid was turned away, {reason}" in logged.getMessage()
    assert SECRET.decode() not in caplog.text
    if reason == "unproven":
        assert logged.getMessage().endswith(": no key is configured. Set CAMPAIGN_X.")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
def test_only_a_post_is_a_post(settings: Settings, method: str) -> None:
    async def work(client: Client) -> None:
        reply = await client.post(hook(), b"", method=method)
        assert turned_away(reply, "not_a_post")
        assert reply
        assert reply.headers["allow"] == "POST"

    run(settings, work)
    assert kept(settings) == b""


def test_a_body_that_is_too_large_is_turned_away_before_and_while_it_comes(small: Settings) -> None:
    async def endless() -> AsyncIterator[bytes | None]:
        for number in range(10):
            assert number < 3, "more was read than is taken"
            yield b"x" * 500

    async def work(client: Client) -> None:
        assert turned_away(await client.post(hook(), never(), content_length="1025"), "too_large")
        reply = await client.post(hook(), endless())
        assert turned_away(reply, "too_large")
        assert reply
        assert reply.headers["connection"] == "close"
        assert turned_away(await client.post(hook(most_bytes=10), b"x" * 11), "too_large")
        assert turned_away(await client.post(hook(most_bytes=9999), b"x" * 1025), "too_large")
        accepted = await client.post(hook(), b"x" * 1024, content_length="1024")
        assert accepted
        assert accepted.status == 202

    run(small, work)
    assert kept(small).count(b"\n") == 1


def test_a_body_that_comes_too_slowly_is_given_up(small: Settings) -> None:
    async def work(client: Client) -> None:
        reply = await client.post(hook(), never())
        assert turned_away(reply, "too_slow")
        assert reply
        assert reply.headers["connection"] == "close"
        assert client.figure('campaigns_webhook_waiting_bytes{provider="sendgrid"}') == 0

    run(small, work)


def test_a_client_that_goes_away_is_not_answered_and_nothing_is_kept(small: Settings) -> None:
    async def half() -> AsyncIterator[bytes | None]:
        yield b"[{"
        yield None

    async def work(client: Client) -> None:
        assert await client.post(hook(), half()) is None

    client = run(small, work)
    assert kept(small) == b""
    assert client.figure('campaigns_webhook_refused_total{kind="events",provider="sendgrid",reason="gone"}') == 1
    assert client.figure('campaigns_webhook_waiting_bytes{provider="sendgrid"}') == 0


@asynccontextmanager
async def under_way(client: Client, *bodies: bytes) -> AsyncIterator[None]:
    """Posts of SendGrid's whose bodies have come but for their end; it comes when the block is over."""
    let_go = asyncio.Event()

    async def slow(body: bytes) -> AsyncIterator[bytes | None]:
        yield body
        await let_go.wait()

    async with asyncio.TaskGroup() as tasks:
        posts = [tasks.create_task(client.post(hook(), slow(body))) for body in bodies]
        await asyncio.sleep(0)  # each begins to read
        await asyncio.sleep(0)
        yield
        let_go.set()
    assert [reply and reply.status for reply in (post.result() for post in posts)] == [202] * len(bodies)


@pytest.mark.parametrize("bodies", [(b"x", b"x", b"x"), (b"x" * 1000, b"x" * 490)])
def test_a_provider_that_floods_comes_again_and_the_others_are_taken(small: Settings, bodies: tuple[bytes]) -> None:
    async def work(client: Client) -> None:
        async with under_way(client, *bodies):
            assert client.figure('campaigns_webhook_under_way{provider="sendgrid"}') == len(bodies)
            held = sum(map(len, bodies))
            assert client.figure('campaigns_webhook_waiting_bytes{provider="sendgrid"}') == held
            reply = await client.post(hook(), b"x" * 20)
            assert turned_away(reply, "too_many")
            assert reply
            assert (reply.status, reply.headers["retry-after"]) == (429, "5")
            other = await client.post(hook(provider="twilio"), b"x" * 20)
            assert other
            assert other.status == 202
        again = await client.post(hook(), b"x" * 20)
        assert again
        assert again.status == 202
        assert client.figure('campaigns_webhook_under_way{provider="sendgrid"}') == 0

    run(small.model_copy(update={"receiver_body_seconds": 30.0}), work)


def test_groups_and_failures_of_the_disk_are_counted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    async def work(client: Client) -> None:
        await asyncio.gather(*(client.post(hook(), b"[]") for _ in range(20)))
        with monkeypatch.context() as patch:
            patch.setattr(inbox_module.os, "fsync", full)
            reply = await client.post(hook(), b"[]")
        assert turned_away(reply, "unavailable")
        assert reply
        assert reply.headers["retry-after"] == "5"

    client = run(settings, work)
    commits = client.figure("campaigns_inbox_commits_total")
    assert client.figure("campaigns_inbox_appended_total") == client.figure("campaigns_inbox_group_size_sum") == 20
    assert client.figure("campaigns_inbox_group_size_count") == commits
    assert client.figure("campaigns_inbox_commit_seconds_count") == commits
    assert client.figure("campaigns_inbox_failures_total") == 1
    assert client.figure('campaigns_webhook_seconds_count{kind="events",provider="sendgrid"}') == 21


def test_health_asks_the_disk(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    async def problem() -> str:
        return await Health(inbox).problem()

    with Inbox(tmp_path / "inbox", settings.clock) as inbox:
        assert asyncio.run(problem()) == ""
        with monkeypatch.context() as patch:
            patch.setattr(inbox_module.os, "fsync", full)
            assert asyncio.run(problem()) == "the inbox cannot be written: No space left on device"
        assert list(inbox.folder.iterdir()) == []
        (tmp_path / "inbox").rmdir()
        assert asyncio.run(problem()) == "the inbox cannot be written: No such file or directory"
    assert asyncio.run(problem()) == "the inbox is not being written"


def test_a_disk_that_hangs_is_asked_once_and_is_not_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, probes = threading.Event(), list[int]()

    class Hanging(Inbox):
        def probe(self) -> None:
            probes.append(1)
            answers.wait(30)

    async def problems() -> list[str]:
        health = Health(inbox)
        first = [await health.problem(), await health.problem()]
        answers.set()
        monkeypatch.setattr("campaign_pipeline.web.health.PROBE_SECONDS", 30.0)
        return [*first, await health.problem()]

    monkeypatch.setattr("campaign_pipeline.web.health.PROBE_SECONDS", 0.01)
    with Hanging(tmp_path, Settings(_env_file=None).clock) as inbox:
        says = "the disk of the inbox does not answer"
        assert asyncio.run(problems()) == [says, says, ""]
    assert len(probes) == 1
