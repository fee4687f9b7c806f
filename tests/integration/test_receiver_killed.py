"""kill -9 under load: every request that was acknowledged is in the inbox afterwards."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import sqlalchemy as sa

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.inbox_reader import read_new
from campaign_pipeline.messages.links import unsubscribe_token

RUN = "spring-sale--20260302t090000z"
CLIENTS, ACKNOWLEDGED = 32, 400

SERVER = """
import sys
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.web.server import serve
serve(Settings(_env_file=None, data_dir=sys.argv[1]), "127.0.0.1", int(sys.argv[2]))
"""


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

    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=CLIENTS)) as session:
        for _ in range(200):
            try:
                async with session.get(f"{url}/healthz"):
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
        await asyncio.gather(*(client(number, session) for number in range(CLIENTS)))
    return acknowledged


def test_every_acknowledged_request_survives_kill_9(settings: Settings, engine: sa.Engine, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(settings.data_dir), str(port)])
    try:
        acknowledged = asyncio.run(load(f"http://127.0.0.1:{port}", settings, process))
    finally:
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    assert len(acknowledged) >= ACKNOWLEDGED
    batches = list(read_new(engine, settings.inbox_dir))
    kept = {record.query["message_id"] for batch in batches for _, record in batch.records}
    assert acknowledged <= kept
    assert not any(batch.rejections for batch in batches)
