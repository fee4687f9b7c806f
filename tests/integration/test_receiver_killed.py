"""kill -9 under load: every request that was acknowledged is in the inbox afterwards, and is taken in once."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import orjson
import polars as pl
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.days import build_day
from campaign_pipeline.events.inbox_reader import read_new
from campaign_pipeline.events.ingest import Received, receive
from campaign_pipeline.events.verification import SENDGRID_SIGNATURE, SENDGRID_TIMESTAMP
from campaign_pipeline.messages.links import unsubscribe_token

RUN = "spring-sale--20260302t090000z"
CLIENTS, ACKNOWLEDGED = 32, 400
KILLS, BETWEEN_KILLS, EVENTS = 4, 150, 5
KEY = ec.derive_private_key(12345, ec.SECP256R1())

SERVER = """
import sys
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.web.server import serve
serve(Settings(_env_file=None, data_dir=sys.argv[1]), "127.0.0.1", int(sys.argv[2]))
"""


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def receiver(settings: Settings, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(settings.data_dir), str(port)])
    try:
        yield process
    finally:
        process.kill()
        assert process.wait(10) == -signal.SIGKILL


async def load(url: str, settings: Settings, process: "subprocess.Popen[bytes]") -> set[str]:
    """Unsubscribe without pause; end the server, by its own id, in the middle. The ids that were acknowledged."""
    acknowledged: set[str] = set()

    async def client(number: int, session: aiohttp.ClientSession) -> None:
        for count in range(100_000):
            message = f"{number:012x}{count:012x}"
            token = unsubscribe_token(settings.link_secret, RUN, message)
            try:
                async with session.post(f"{url}/u/{token}", data=b"x" * 2000) as answer:
                    if answer.status == 200:
                        acknowledged.add(message)
            except (aiohttp.ClientError, OSError):
                return
            if len(acknowledged) >= ACKNOWLEDGED and process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)

    async with connections() as session:
        for _ in range(200):
            try:
                async with session.get(f"{url}/healthz"):
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
        await asyncio.gather(*(client(number, session) for number in range(CLIENTS)))
    return acknowledged


def connections() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=30)
    return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=CLIENTS))


def test_every_acknowledged_request_survives_kill_9(
    settings: Settings, engine: sa.Engine, tmp_path: Path, port: int
) -> None:
    with receiver(settings, port) as process:
        acknowledged = asyncio.run(load(f"http://127.0.0.1:{port}", settings, process))
    assert len(acknowledged) >= ACKNOWLEDGED
    batches = list(read_new(engine, settings.inbox_dir))
    kept = {record.query["message_id"] for batch in batches for _, record in batch.records}
    assert acknowledged <= kept
    assert not any(batch.rejections for batch in batches)


class Provider:
    """Posts signed events over many connections at once, and each one again until it is acknowledged, as SendGrid does.

    `acknowledged` and `tries` are by post; a post is (client, number).
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self._url, self._timestamp = f"{url}/webhooks/sendgrid", str(int(settings.clock().timestamp()))
        self.acknowledged: set[tuple[int, int]] = set()
        self.tries: Counter[tuple[int, int]] = Counter()
        self.stopping = False

    def events(self, post: tuple[int, int]) -> list[str]:
        """The message ids of a post's events, each of which is in that post only."""
        client, number = post
        return [f"{client:08x}{number:08x}{event:08x}" for event in range(EVENTS)]

    async def client(self, number: int, session: aiohttp.ClientSession) -> None:
        for count in itertools.count():
            if self.stopping:
                return
            await self._post((number, count), session)

    async def _post(self, post: tuple[int, int], session: aiohttp.ClientSession) -> None:
        body, headers = self._signed(post)
        while post not in self.acknowledged:
            assert self.tries[post] < 2000, "the receiver does not come back"
            self.tries[post] += 1
            try:
                async with session.post(self._url, data=body, headers=headers) as answer:
                    assert answer.status == 202
                    self.acknowledged.add(post)
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.05)

    def _signed(self, post: tuple[int, int]) -> tuple[bytes, dict[str, str]]:
        items = [
            {"event": "delivered", "timestamp": int(self._timestamp), "run_id": RUN, "message_id": message}
            for message in self.events(post)
        ]
        body = orjson.dumps(items)
        signature = KEY.sign(self._timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return body, {SENDGRID_SIGNATURE: b64encode(signature).decode(), SENDGRID_TIMESTAMP: self._timestamp}


async def kill_again_and_again(provider: Provider, settings: Settings, port: int, engine: sa.Engine) -> list[Received]:
    """Kill the receiver in the middle of the posts, start it again on the same folder, and take in what it kept."""
    received: list[Received] = []
    lake = Lake(settings.lake_dir)
    async with connections() as session, asyncio.TaskGroup() as clients:
        for number in range(CLIENTS):
            clients.create_task(provider.client(number, session))
        for round_ in range(KILLS + 1):
            enough = len(provider.acknowledged) + BETWEEN_KILLS
            with receiver(settings, port):
                while len(provider.acknowledged) < enough:
                    await asyncio.sleep(0.01)
                provider.stopping = round_ == KILLS
                while provider.stopping and provider.tries.keys() - provider.acknowledged:
                    await asyncio.sleep(0.01)
            received.append(await asyncio.to_thread(receive, engine, lake, settings))
    return received


def test_events_are_taken_in_once_however_often_the_receiver_is_killed(
    settings: Settings, engine: sa.Engine, port: int
) -> None:
    der = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    settings.sandbox_dir.mkdir(parents=True)
    (settings.sandbox_dir / "webhook_public_key.txt").write_bytes(b64encode(der))
    provider = Provider(f"http://127.0.0.1:{port}", settings)
    received = asyncio.run(kill_again_and_again(provider, settings, port, engine))

    assert len(provider.acknowledged) >= (KILLS + 1) * BETWEEN_KILLS
    assert any(tries > 1 for tries in provider.tries.values())  # the kills hit posts that were under way
    assert sum(part.rejected for part in received) == 0
    lake = Lake(settings.lake_dir)
    assert receive(engine, lake, settings) == Received()

    files = [path for path in settings.inbox_dir.glob("*.jsonl") if path.stat().st_size]
    assert len(files) >= KILLS + 1
    kept = Counter[str]()
    for file in files:
        *lines, _ = file.read_bytes().split(b"\n")
        kept.update(item["message_id"] for line in lines for item in orjson.loads(orjson.loads(line)["body"]))
    acknowledged = [message for post in provider.acknowledged for message in provider.events(post)]
    assert kept.keys() == set(acknowledged)
    once = [message for post in provider.acknowledged if provider.tries[post] == 1 for message in provider.events(post)]
    assert {kept[message] for message in once} == {1}

    taken = pl.concat([lake.read("received_events", name) for name in lake.partitions("received_events")])
    assert Counter(taken["message_id"]) == kept  # what the inbox holds, no line left out and none read twice
    days = [build_day(lake, day) for day in sorted(set().union(*(part.touched_days for part in received)))]
    assert sorted(pl.concat(days).collect()["message_id"]) == sorted(acknowledged)
