"""Pace and breakers across processes and with the real SDKs: what one worker learns or takes, all others know."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.sender_policy import BreakerPolicy
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Halted
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch import breakers, ledger
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels import open_channel
from campaign_pipeline.dispatch.guards.base import Guard
from campaign_pipeline.dispatch.guards.breaker import Breakers
from campaign_pipeline.dispatch.guards.pace import Paced
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.worker import Sent, send_due
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from campaign_pipeline.sandbox.server import SandboxServer

RUN = "spring-sale--20260302t090000z"
NOW = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)
NOBODY_MAY = "+15005550003"
"""The sandbox answers 21408: sending to its country is not enabled."""

WORKER = """
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo
from campaign_pipeline.core.database import open_database, writing
from campaign_pipeline.dispatch.ceilings import Ceiling, count
from campaign_pipeline.dispatch.pacing import Pace, take

engine = open_database(sys.argv[1])
start = datetime(2026, 3, 2, 9, tzinfo=UTC)
paced = counted = 0
for step in range(100):  # 20 seconds, as fast as this process gets through them
    now = start + timedelta(seconds=step / 5)
    with writing(engine) as connection:
        paced += 8 * (not any(take(connection, "sender", [Pace(40.0, 80)], 8, now)))
        counted += count(connection, "sender", [Ceiling(lambda _day: 500)], [1] * 8, "2026-03-02")
print(paced, counted)
"""


@pytest.mark.parametrize("name", ["engine", "postgres_engine"])
def test_two_processes_share_one_rate_and_one_day(name: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(name).url.render_as_string(hide_password=False)
    processes = [
        subprocess.Popen([sys.executable, "-c", WORKER, url], cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    figures = [tuple(map(int, process.communicate(timeout=120)[0].split())) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    paced, counted = (sum(of_process) for of_process in zip(*figures, strict=True))
    assert 40 * 19.8 - 8 < paced <= 80 + 40 * 19.8
    assert counted == 500


class Office:
    """Workers of one run through the sandbox, with a clock that moves when one of them sleeps."""

    def __init__(self, engine: sa.Engine, lake: Lake, settings: Settings) -> None:
        self.engine, self.lake, self.settings, self.now = engine, lake, settings, NOW

    def work(self, name: Channel, worker: str, guards: Sequence[Guard], tries: int = 1) -> Sent:
        with open_channel(name, self.settings) as channel:
            return send_due(
                self.engine,
                self.lake,
                RUN,
                channel,
                worker=worker,
                clock=lambda: self.now,
                guards=guards,
                patience=Patience(tries=tries, sleep=self.sleep),
            )

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def breakers(self, name: Channel, worker: str) -> Breakers:
        return Breakers(self.engine, name, "provider", "sender", worker, BreakerPolicy())


@pytest.fixture
def office(engine: sa.Engine, lake: Lake, to_sandbox: Settings) -> Office:
    return Office(engine, lake, to_sandbox)


@pytest.mark.parametrize(("name", "provider"), [(Channel.EMAIL, "sendgrid"), (Channel.SMS, "twilio")])
def test_a_429_holds_the_other_worker_until_its_reset(
    name: Channel, provider: Any, office: Office, sandbox: SandboxServer, plan_messages: Callable[[str, int, int], None]
) -> None:
    plan_messages(name, 10, 10)
    sandbox.control.fault(Fault(kind=FaultKind.THROTTLE_429, provider=provider, count=1, seconds=40))
    assert office.work(name, "one", [Paced(office.engine, "sender")]).left > 0  # requests beside it may have gone
    began = office.now
    assert office.work(name, "two", [Paced(office.engine, "sender")]).left == 0
    assert timedelta(seconds=35) < office.now - began <= timedelta(seconds=41)
    assert sandbox.sends().height == 10


def test_a_country_that_twilio_refuses_is_held_and_tried_later(
    office: Office, sandbox: SandboxServer, plan_messages: Callable[[str, int, int], None]
) -> None:
    plan_messages(Channel.SMS, 12, 4)
    somewhere = pl.format("+4915112345{}", (pl.col("message_no") + 100).cast(pl.String))
    address = pl.when(pl.col("message_no") == 1).then(pl.lit(NOBODY_MAY)).otherwise(somewhere)
    _replan(office, address)
    sent = office.work(Channel.SMS, "one", [office.breakers(Channel.SMS, "one")])
    assert (dict(sent.outcomes), sent.left) == ({Outcome.ACCEPTED: 11}, 1)
    with reading(office.engine) as connection:
        (held,) = breakers.open_breakers(connection)
    assert (held.subject, held.code) == ("country:sms:+1-US", "21408")
    again = office.work(Channel.SMS, "two", [office.breakers(Channel.SMS, "two")])
    assert (again.outcomes.total(), again.left, again.next_at) == (0, 1, NOW + timedelta(minutes=5))
    assert account(office.engine, office.lake, RUN).messages == {"accepted": 11, "not_sent": 1}


def test_refused_credentials_halt_the_channel_until_a_try_is_accepted(
    office: Office, sandbox: SandboxServer, plan_messages: Callable[[str, int, int], None]
) -> None:
    plan_messages(Channel.EMAIL, 60, 30)
    sandbox.control.fault(Fault(kind=FaultKind.UNAUTHORIZED_401, provider="sendgrid", count=2))
    with pytest.raises(Halted):
        office.work(Channel.EMAIL, "one", [office.breakers(Channel.EMAIL, "one")])
    assert office.work(Channel.EMAIL, "two", [office.breakers(Channel.EMAIL, "two")]).left == 60
    office.sleep(300)
    with pytest.raises(Halted):  # the try is refused as well
        office.work(Channel.EMAIL, "two", [office.breakers(Channel.EMAIL, "two")])
    office.sleep(600)
    assert office.work(Channel.EMAIL, "three", [office.breakers(Channel.EMAIL, "three")]).left == 0
    sends = sandbox.sends()
    assert (sends.height, sends["message_id"].n_unique()) == (60, 60)
    with reading(office.engine) as connection:
        assert breakers.open_breakers(connection) == []


def _replan(office: Office, address: pl.Expr) -> None:
    """The planned run with other addresses."""
    office.lake.write(office.lake.read("messages", RUN).with_columns(address=address), "messages", RUN)
    with writing(office.engine) as connection:
        connection.execute(sa.text("DELETE FROM plans"))
        content = BatchFile(office.lake, RUN).content_hash()
        ledger.record_plan(connection, RUN, messages=12, batches=3, content_hash=content, at=NOW)
