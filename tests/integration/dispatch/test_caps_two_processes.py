"""Two real processes claim for the same contacts at the same moment, on SQLite and on PostgreSQL."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import open_database, reading
from campaign_pipeline.core.tables import contacted
from tests.databases import sqlite_database

CONTACTS, BATCH = 300, 10

WORKER = """
import json, random, sys
from datetime import UTC, datetime
from campaign_pipeline.campaigns.sending_policy import Cap
from campaign_pipeline.core.database import open_database
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.channels.base import Batch, Capabilities, Message, Result
from campaign_pipeline.dispatch.guards.caps import UnderCaps
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.sender import Sender
from campaign_pipeline.messages.skeletons import MessageSkeleton
from tests.databases import sqlite_database

url, name, contacts, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
run = f"{name}--20260302t090000z"

class Takes:
    name, provider, capabilities = Channel.SMS, "twilio", Capabilities(max_batch=1000)
    got = []

    def send(self, batch):
        self.got += [message.contact_id for message in batch.messages]
        return [Result(message.message_no, Kind.ACCEPTED, "", f"SM{message.message_no}") for message in batch.messages]

order = list(range(contacts))
random.Random(7).shuffle(order)  # both runs meet the same contacts at the same time
guard = UnderCaps([Cap(at_most=1, within="7d"), Cap(at_most=5, within="30d", channel="sms")], Channel.SMS, "marketing")
sender = Sender(open_database(url), Takes(), name, lambda: datetime.now(UTC), None, [guard], lambda: None, Patience())
for number in range(contacts // size):
    print("ready", flush=True)
    sys.stdin.readline()
    places = range(number * size, number * size + size)
    messages = tuple(Message(place, "", f"+1{order[place]}", (), f"c{order[place]}") for place in places)
    sender.send(Batch(run, name, "plain", number, 1, MessageSkeleton(()), messages, whole=True))
print(json.dumps(Takes.got))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    sqlite_database(tmp_path / "caps.db").dispose()
    return f"sqlite:///{tmp_path / 'caps.db'}"


def test_nobody_gets_both(url: str) -> None:
    def start(name: str) -> "subprocess.Popen[str]":
        arguments = [sys.executable, "-c", WORKER, url, name, str(CONTACTS), str(BATCH)]
        return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    workers = [start("spring"), start("summer")]
    try:
        for _ in range(CONTACTS // BATCH):  # in step, so that both are at the same contacts each time
            for worker in workers:
                assert _pipe(worker.stdout).readline() == "ready\n"
            for worker in workers:
                _pipe(worker.stdin).write("go\n")
                _pipe(worker.stdin).flush()
        got = [json.loads(worker.communicate(timeout=120)[0]) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [worker.returncode for worker in workers] == [0, 0]
    assert Counter(got[0] + got[1]) == Counter({f"c{number}": 1 for number in range(CONTACTS)})
    engine = open_database(url)
    with reading(engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(contacted)).scalar_one() == CONTACTS
    engine.dispose()


def _pipe(pipe: Any) -> Any:
    assert pipe is not None
    return pipe
