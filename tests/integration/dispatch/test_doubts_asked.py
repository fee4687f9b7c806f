"""Doubts against the sandbox: whatever went wrong, what a lookup finds is what the provider's own record says."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.channels import open_channel
from campaign_pipeline.dispatch.channels.base import Batch, Doubt, Finding, Lookup
from campaign_pipeline.dispatch.channels.sendgrid_logs import query_of
from campaign_pipeline.dispatch.decide import Decided, decide
from campaign_pipeline.dispatch.doubts import Rules
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.reconcile import settle_by_events, settle_doubts
from campaign_pipeline.dispatch.worker import Sent, send_due
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from campaign_pipeline.sandbox.ground_truth import duplicates
from campaign_pipeline.sandbox.server import SandboxServer

RUN = "spring-sale--20260302t090000z"
MakeBatch = Callable[..., Batch]
FAULTS = [
    FaultKind.ACCEPT_THEN_DROP,
    FaultKind.TRUNCATED_BODY,
    FaultKind.MALFORMED,
    FaultKind.ERROR_500_THOUGH_ACCEPTED,
    FaultKind.SLOW,
    FaultKind.REFUSE_BEFORE_ACCEPT,
    FaultKind.UNAVAILABLE_503,
    FaultKind.REDIRECT_302,
]
HOUR = timedelta(hours=1)


@pytest.fixture
def asking(to_sandbox: Settings) -> Settings:
    return to_sandbox.model_copy(update={"sendgrid_logs": True, "request_timeout_seconds": 0.5})


def send(engine: sa.Engine, lake: Lake, name: Channel, settings: Settings) -> Sent:
    with open_channel(name, settings) as channel:
        patience = Patience(tries=1, sleep=lambda _seconds: None)
        return send_due(engine, lake, RUN, channel, worker="w", clock=settings.clock, patience=patience)


def settle(engine: sa.Engine, lake: Lake, name: Channel, settings: Settings, at: datetime, rules: Rules) -> Decided:
    with open_channel(name, settings) as channel:
        settle_doubts(engine, lake, RUN, channel, at, rules)
    return decide(engine, lake, RUN, at, rules)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [Channel.EMAIL, Channel.SMS, Channel.WHATSAPP])
def test_what_a_lookup_finds_is_what_was_sent(
    name: Channel, fault: FaultKind, engine: sa.Engine, lake: Lake, asking: Settings, sandbox: SandboxServer,
    plan_messages: Callable[..., None],
) -> None:  # fmt: skip
    plan_messages(name, 6, 2)
    provider = "sendgrid" if name == Channel.EMAIL else "twilio"
    sandbox.control.fault(Fault(kind=fault, provider=provider, count=2, seconds=1.0))
    send(engine, lake, name, asking)
    doubts = account(engine, lake, RUN).in_doubt
    assert doubts == (4 if name == Channel.EMAIL else 2)  # two requests
    with open_channel(name, asking) as channel:
        settled = settle_doubts(engine, lake, RUN, channel, datetime.now(UTC))
    sends = sandbox.sends()
    accepted = account(engine, lake, RUN).messages[Outcome.ACCEPTED]
    assert accepted == sends.height
    assert settled.asked == doubts
    assert settled.found == doubts - (6 - sends.height)
    assert duplicates(sends) == []


@pytest.mark.parametrize("name", [Channel.EMAIL, Channel.SMS])
def test_under_never_lose_all_arrive_and_only_what_was_lost_is_sent_again(
    name: Channel, engine: sa.Engine, lake: Lake, asking: Settings, sandbox: SandboxServer,
    plan_messages: Callable[..., None],
) -> None:  # fmt: skip
    plan_messages(name, 12, 3)
    provider = "sendgrid" if name == Channel.EMAIL else "twilio"
    for kind in (FaultKind.ACCEPT_THEN_DROP, FaultKind.REFUSE_BEFORE_ACCEPT):
        sandbox.control.fault(Fault(kind=kind, provider=provider, count=1))
    send(engine, lake, name, asking)
    lost = 12 - sandbox.sends().height
    assert lost == (3 if name == Channel.EMAIL else 1)
    asks = Rules(window=HOUR, never_lose=True, channel=name.value).asking([name.value])
    at = datetime.now(UTC)
    assert settle(engine, lake, name, asking, at, asks) == Decided()
    assert settle(engine, lake, name, asking, at + HOUR, asks) == Decided(sent_again=lost)
    assert dict(send(engine, lake, name, asking).outcomes) == {Outcome.ACCEPTED: lost}
    sends = sandbox.sends()
    assert (sends.height, duplicates(sends)) == (12, [])
    found = account(engine, lake, RUN)
    assert (found.messages, found.sent_again, found.arrived_twice) == ({"accepted": 12}, lost, 0)


def test_an_event_of_the_first_attempt_labels_the_repeat_of_what_could_not_be_asked_about(
    engine: sa.Engine, lake: Lake, asking: Settings, sandbox: SandboxServer, plan_messages: Callable[..., None]
) -> None:
    plan_messages(Channel.EMAIL, 4, 2)
    silent = asking.model_copy(update={"sendgrid_logs": False})
    sandbox.control.fault(Fault(kind=FaultKind.ACCEPT_THEN_DROP, provider="sendgrid", count=1))
    send(engine, lake, Channel.EMAIL, silent)
    at, rules = datetime.now(UTC), Rules(window=HOUR, never_lose=True, channel="email")
    assert settle(engine, lake, Channel.EMAIL, silent, at + HOUR, rules) == Decided(sent_again=2)
    send(engine, lake, Channel.EMAIL, silent)
    sends = sandbox.sends()
    assert (sends.height, len(duplicates(sends))) == (6, 2)
    proofs = sends.select("message_id", "attempt", provider_id="sid")
    assert settle_by_events(engine, lake, RUN, proofs, at) == 2
    found = account(engine, lake, RUN)
    assert (found.messages, found.sent_again, found.arrived_twice) == ({"accepted": 4}, 2, 2)


def look_up(settings: Settings, batch: Batch, at: datetime | None = None) -> list[Lookup]:
    claimed_at = at or datetime.now(UTC)
    with open_channel(Channel.EMAIL, settings) as channel:
        until = claimed_at + timedelta(minutes=5)
        answers = channel.lookup([Doubt(batch, message, claimed_at, until) for message in batch.messages], ())
    return sorted(answers)


def test_the_logs_name_the_attempt_by_our_own_arguments(
    asking: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    batch = make_batch("email", 3)
    with open_channel(Channel.EMAIL, asking) as channel:
        channel.send(batch)
    (sid,) = set(sandbox.sends()["sid"])
    assert look_up(asking, batch) == [Lookup(number, 1, Finding.FOUND, sid) for number in range(3)]
    again = make_batch("email", 3, attempt=2)  # the same addresses, another attempt
    assert look_up(asking, again) == [Lookup(number, 2, Finding.ABSENT) for number in range(3)]
    later = datetime.now(UTC) + timedelta(hours=1)
    assert {one.finding for one in look_up(asking, batch, later)} == {Finding.ABSENT}
    quoted = batch.messages[0]._replace(address='"ann smith"@example.com')
    assert look_up(asking, Batch(**{**vars(batch), "messages": (quoted,)}))[0].finding == Finding.INCONCLUSIVE


def test_without_the_setting_the_logs_are_not_asked(to_wire: Settings, wire: Any, make_batch: MakeBatch) -> None:
    assert {one.finding for one in look_up(to_wire, make_batch("email", 3))} == {Finding.INCONCLUSIVE}
    assert wire.seen == []


@pytest.mark.parametrize("status", [401, 403, 429])
def test_an_account_that_may_not_ask_is_not_asked_on(
    status: int, to_wire: Settings, wire: Any, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign_pipeline.dispatch.channels.sendgrid_logs.AT_ONCE", 1)
    wire.default = (status, {}, b"{}")
    asking = to_wire.model_copy(update={"sendgrid_logs": True})
    assert [one.finding for one in look_up(asking, make_batch("email", 5))] == [Finding.INCONCLUSIVE] * 5
    assert len(wire.seen) == 1


@pytest.mark.parametrize(
    "answers",
    [
        [(500, {}, b"")],
        [None],
        [(200, {}, b"<html>")],
        [(200, {}, b"[]")],
        [(200, {}, b'{"messages": [{"to_email": "user0@example.com"}]}')],
        [(200, {}, b'{"messages": [{"sg_message_id": "a.b"}]}'), (404, {}, b"")],
        [(200, {}, b'{"messages": [{"sg_message_id": "a.b"}]}'), (200, {}, b'{"status": "delivered"}')],
    ],
)
def test_an_answer_that_says_nothing_is_inconclusive(
    answers: list[Any], to_wire: Settings, wire: Any, make_batch: MakeBatch
) -> None:
    wire.answers, wire.default = answers, (500, {}, b"")
    asking = to_wire.model_copy(update={"sendgrid_logs": True})
    assert look_up(asking, make_batch("email", 1)) == [Lookup(0, 1, Finding.INCONCLUSIVE)]


def test_more_messages_than_a_search_shows_are_inconclusive(
    to_wire: Settings, wire: Any, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign_pipeline.dispatch.channels.sendgrid_logs.MOST_FOUND", 1)
    found = orjson.dumps({"messages": [{"sg_message_id": "a/b.c"}]})
    wire.answers = [(200, {}, found), (200, {}, b'{"custom_args": {"message_id": "another"}}')]
    asking = to_wire.model_copy(update={"sendgrid_logs": True})
    assert look_up(asking, make_batch("email", 1)) == [Lookup(0, 1, Finding.INCONCLUSIVE)]
    assert [(seen.method, seen.path) for seen in wire.seen] == [("POST", "/v3/logs"), ("GET", "/v3/logs/a%2Fb.c")]
    assert orjson.loads(wire.seen[0].body)["limit"] == 1


def test_a_search_uses_only_what_is_documented(make_batch: MakeBatch) -> None:
    """Fields and operators of EmailLogsGetMessagesByFilterRequest; the sandbox refuses others."""
    batch = make_batch("email", 1)
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert query_of(Doubt(batch, batch.messages[0], at, at + timedelta(minutes=5))) == (
        "to_email = \"user0@example.com\" AND categories IN ('spring-sale')"
        ' AND sg_message_id_created_at >= TIMESTAMP "2026-03-02T08:58:00Z"'
        ' AND sg_message_id_created_at <= TIMESTAMP "2026-03-02T09:07:00Z"'
    )


def test_a_text_that_was_sent_long_after_the_attempt_is_another_s(
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    """A later run with the same words, in doubt as well, must not settle this one."""
    batch = make_batch("sms", 1)
    with open_channel(Channel.SMS, to_sandbox) as channel:
        channel.send(batch)
        claimed_at = datetime.now(UTC) - HOUR
        (message,) = batch.messages
        early = channel.lookup([Doubt(batch, message, claimed_at, claimed_at + timedelta(minutes=5))], ())
        (found,) = channel.lookup([Doubt(batch, message, claimed_at)], ())
    assert early == [Lookup(0, 1, Finding.ABSENT)]
    assert found.finding == Finding.FOUND
    assert pl.Series([found.provider_id]).is_in(sandbox.sends()["sid"].implode()).all()
