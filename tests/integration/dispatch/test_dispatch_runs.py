"""Whole runs through ledger, worker, SDK and sandbox, judged by the sandbox's record of every physical send."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Halted
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import runs
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels import open_channel
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.reconcile import settle_by_events, settle_doubts
from campaign_pipeline.dispatch.states import SETTLING, states
from campaign_pipeline.dispatch.worker import Sent, send_due
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from campaign_pipeline.sandbox.ground_truth import duplicates
from campaign_pipeline.sandbox.server import SandboxServer

RUN = "spring-sale--20260302t090000z"
NOW = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)
Plan = Callable[[str, int, int], None]
QUICK = Patience(tries=8, first=0.0, sleep=lambda _seconds: None)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The providers live at the time of the ledger: what they took at another time is no attempt of ours."""
    return settings.model_copy(update={"clock_offset_seconds": (NOW - datetime.now(UTC)).total_seconds()})


class Killed(BaseException):
    """As kill -9: nothing catches it."""


def send(engine: sa.Engine, lake: Lake, name: Channel, settings: Settings, **options: Any) -> Sent:
    with open_channel(name, settings) as channel:
        return send_due(engine, lake, RUN, channel, worker="test", clock=lambda: NOW, **{"patience": QUICK, **options})


@pytest.mark.parametrize(("name", "provider"), [*((name, "sendgrid") for name in Channel), (Channel.EMAIL, "smtp")])
def test_a_run_is_sent_once_and_a_second_call_sends_nothing(
    name: Channel, provider: str, engine: sa.Engine, lake: Lake, to_sandbox: Settings, sandbox: SandboxServer,
    plan_messages: Plan,
) -> None:  # fmt: skip
    to_sandbox = to_sandbox.model_copy(update={"email_provider": provider})
    plan_messages(name, 120, 50)
    assert dict(send(engine, lake, name, to_sandbox).outcomes) == {Outcome.ACCEPTED: 120}
    assert send(engine, lake, name, to_sandbox).outcomes.total() == 0
    sends = sandbox.sends()
    assert (sends.height, sends["message_id"].n_unique()) == (120, 120)
    assert set(sends["channel"]) == {name}
    assert account(engine, lake, RUN).messages == {"accepted": 120}
    with reading(engine) as connection:
        known = states(BatchFile(lake, RUN).index(), ledger.read_ledger(connection, RUN))["provider_id"]
    assert set(known) == set(sends["sid"])


@pytest.mark.parametrize(
    ("name", "provider"),
    [(Channel.EMAIL, "sendgrid"), (Channel.EMAIL, "smtp"), (Channel.SMS, "sendgrid"), (Channel.WEBHOOK, "sendgrid")],
)
def test_a_killed_send_leaves_doubts_that_are_settled_and_never_resent(
    name: Channel, provider: str, engine: sa.Engine, lake: Lake, to_sandbox: Settings, sandbox: SandboxServer,
    plan_messages: Plan, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    to_sandbox = to_sandbox.model_copy(update={"email_provider": provider})
    plan_messages(name, 30, 10)
    whole = ledger.append
    appended = 0

    def killed_at_the_second(*arguments: Any, **options: Any) -> None:
        nonlocal appended
        appended += any(map(bool, arguments[1:]))
        if appended == 2:
            raise Killed
        whole(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "append", killed_at_the_second)
        with pytest.raises(Killed):
            send(engine, lake, name, to_sandbox)
    assert sandbox.sends().height == 20
    assert dict(send(engine, lake, name, to_sandbox).outcomes) == {Outcome.ACCEPTED: 10}
    sends = sandbox.sends()
    assert (sends.height, duplicates(sends)) == (30, [])
    assert account(engine, lake, RUN).messages == {"accepted": 20, "in_doubt": 10}
    with open_channel(name, to_sandbox) as channel:
        early = settle_doubts(engine, lake, RUN, channel, NOW)
        late = settle_doubts(engine, lake, RUN, channel, NOW + SETTLING)
    assert early.doubts == 0  # in flight: its worker might still be at it
    if name == Channel.SMS:
        assert (late.doubts, late.found) == (10, 10)
    else:
        assert (late.doubts, late.found) == (10, 0)
        proofs = sends.select("message_id", "attempt", provider_id="sid")
        assert settle_by_events(engine, lake, RUN, proofs, NOW) == 10
    assert account(engine, lake, RUN).messages == {"accepted": 30}


def test_whatever_the_provider_does_nothing_is_sent_twice(
    engine: sa.Engine, lake: Lake, to_sandbox: Settings, sandbox: SandboxServer, plan_messages: Plan
) -> None:
    plan_messages(Channel.SMS, 200, 20)
    settings = to_sandbox.model_copy(update={"request_timeout_seconds": 0.4})
    for kind in FaultKind:
        if kind != FaultKind.UNAUTHORIZED_401:
            sandbox.control.fault(Fault(kind=kind, provider="twilio", share=0.05, seconds=0.8))
    for _ in range(3):
        send(engine, lake, Channel.SMS, settings)
    sandbox.control.clear_faults()
    assert send(engine, lake, Channel.SMS, settings).left == 0
    sends = sandbox.sends()
    assert duplicates(sends) == []
    found = account(engine, lake, RUN)
    assert set(found.messages) == {"accepted", "in_doubt"}
    with reading(engine) as connection:
        rows = states(BatchFile(lake, RUN).index(), ledger.read_ledger(connection, RUN))
    accepted = rows.filter(pl.col("state") == "accepted")
    assert set(accepted["provider_id"]) <= set(sends["sid"])
    with open_channel(Channel.SMS, to_sandbox) as channel:
        settle_doubts(engine, lake, RUN, channel, NOW + SETTLING)
    after = account(engine, lake, RUN)
    assert after.messages["accepted"] == sends.height  # what is still in doubt was refused before it was accepted


@pytest.mark.parametrize(
    ("name", "provider"), [(Channel.EMAIL, "smtp"), (Channel.WEBHOOK, "webhook")], ids=lambda value: str(value)
)
def test_whatever_a_mail_server_or_a_receiver_does_nothing_is_sent_twice(
    name: Channel, provider: Literal["smtp", "webhook"], engine: sa.Engine, lake: Lake, to_sandbox: Settings,
    sandbox: SandboxServer, plan_messages: Plan,
) -> None:  # fmt: skip
    plan_messages(name, 120, 5)
    update = {"request_timeout_seconds": 0.2, "email_provider": "smtp"}
    settings = to_sandbox.model_copy(update=update)
    for kind in FaultKind:
        if kind != FaultKind.UNAUTHORIZED_401:
            sandbox.control.fault(Fault(kind=kind, provider=provider, share=0.04, seconds=1.0))
    for _ in range(3):
        send(engine, lake, name, settings)
    sandbox.control.clear_faults()
    assert send(engine, lake, name, to_sandbox.model_copy(update={"email_provider": "smtp"})).left == 0
    sends = sandbox.sends()
    assert duplicates(sends) == []
    found = account(engine, lake, RUN)
    assert set(found.messages) == {"accepted", "in_doubt"}
    with reading(engine) as connection:
        rows = states(BatchFile(lake, RUN).index(), ledger.read_ledger(connection, RUN))
    assert set(rows.filter(pl.col("state") == "accepted")["provider_id"]) <= set(sends["sid"])
    proofs = sends.select("message_id", "attempt", provider_id="sid")
    settle_by_events(engine, lake, RUN, proofs, NOW)
    assert account(engine, lake, RUN).messages["accepted"] == sends.height  # the rest was never accepted


def test_one_bad_address_does_not_stop_its_batch(
    engine: sa.Engine, lake: Lake, to_sandbox: Settings, sandbox: SandboxServer, plan_messages: Plan
) -> None:
    plan_messages(Channel.EMAIL, 3, 3)
    bad = pl.when(pl.col("message_no") == 1).then(pl.lit("no address")).otherwise("address")
    lake.write(lake.read("messages", RUN).with_columns(address=bad), "messages", RUN)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM plans"))
    with writing(engine) as connection:
        content = BatchFile(lake, RUN).content_hash()
        ledger.record_plan(connection, RUN, messages=3, batches=1, content_hash=content, at=NOW)
    assert dict(send(engine, lake, Channel.EMAIL, to_sandbox).outcomes) == {Outcome.ACCEPTED: 2, Outcome.REJECTED: 1}
    assert sandbox.sends().height == 2


def test_refused_credentials_halt_the_channel_and_a_later_call_takes_up_what_is_left(
    engine: sa.Engine, lake: Lake, to_sandbox: Settings, sandbox: SandboxServer, plan_messages: Plan
) -> None:
    plan_messages(Channel.EMAIL, 20, 10)
    sandbox.control.fault(Fault(kind=FaultKind.UNAUTHORIZED_401, provider="sendgrid", count=1))
    with pytest.raises(Halted, match="sendgrid answered http_401: credentials, sender or account are refused"):
        send(engine, lake, Channel.EMAIL, to_sandbox)
    assert account(engine, lake, RUN).pending == 20
    assert dict(send(engine, lake, Channel.EMAIL, to_sandbox).outcomes) == {Outcome.ACCEPTED: 20}
    assert duplicates(sandbox.sends()) == []


def test_the_ledger_is_the_same_on_postgresql(
    postgres_engine: sa.Engine, engine: sa.Engine, lake: Lake, to_sandbox: Settings, sandbox: SandboxServer,
    plan_messages: Plan,
) -> None:  # fmt: skip
    plan_messages(Channel.EMAIL, 30, 10)  # the lake's part; the database's follows
    with writing(postgres_engine) as connection:
        content = BatchFile(lake, RUN).content_hash()
        run = {"run_id": RUN, "campaign": "spring-sale", "version": 1, "as_of": NOW, "state": "running"}
        connection.execute(sa.insert(runs).values(**run, requested_by="test", created_at=NOW))
        ledger.record_plan(connection, RUN, messages=30, batches=3, content_hash=content, at=NOW)
    sandbox.control.fault(Fault(kind=FaultKind.THROTTLE_429, provider="sendgrid", count=1, seconds=0))
    sandbox.control.fault(Fault(kind=FaultKind.ACCEPT_THEN_DROP, provider="sendgrid", count=1))
    sent = send(postgres_engine, lake, Channel.EMAIL, to_sandbox)
    assert dict(sent.outcomes) == {Outcome.ACCEPTED: 20, Outcome.IN_DOUBT: 10}
    assert send(postgres_engine, lake, Channel.EMAIL, to_sandbox).outcomes.total() == 0
    assert (
        settle_by_events(postgres_engine, lake, RUN, sandbox.sends().select("message_id", provider_id="sid"), NOW) == 10
    )
    assert account(postgres_engine, lake, RUN).messages == {"accepted": 30}
    assert not ledger.claim(postgres_engine, RUN, 0, 1, "other", NOW)
    with reading(postgres_engine) as connection:
        rows = ledger.read_outcomes(connection, RUN)
    proven = rows.filter(pl.col("source") == "event").row(0, named=True)
    late = ledger.OutcomeRow(
        RUN, proven["message_no"], proven["attempt"], ledger.Source.EVENT, Outcome.REJECTED, "", "", NOW
    )
    ledger.append_outcomes(postgres_engine, [late])
    with reading(postgres_engine) as connection:
        again = ledger.read_outcomes(connection, RUN)
    assert again.sort("message_no", "attempt", "source").equals(rows.sort("message_no", "attempt", "source"))
    assert again.schema == pl.Schema(ledger.OUTCOMES)
    assert set(again["recorded_at"]) == {NOW}
