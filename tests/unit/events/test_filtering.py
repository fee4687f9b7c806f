"""Carriers that take a sender's messages for spam halt it, by events that come in hours after the request."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from payloads import NOW, twilio_status

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import sending_versions
from campaign_pipeline.core.words import Channel, EventType
from campaign_pipeline.dispatch import breakers
from campaign_pipeline.dispatch.breakers import Breaker
from campaign_pipeline.events.event import Event
from campaign_pipeline.events.filtering import halt_filtered
from campaign_pipeline.events.ingest import receive

SENDER = "sender:twilio:+15005550006"


def ended(number: int, filtered: bool, minutes: float = 0, **fields: Any) -> Event:
    at = NOW + timedelta(minutes=minutes, seconds=number)
    kind = EventType.UNDELIVERED if filtered else EventType.DELIVERED
    reason = "filtered:30007" if filtered else ""
    given = {"provider": "twilio", "channel": Channel.SMS, "type": kind, "raw_type": str(kind), "reason": reason}
    return Event(**{**given, "occurred_at": at, "received_at": at, "identity": (str(number),), **fields})


def opened(engine: sa.Engine) -> list[Breaker]:
    with reading(engine) as connection:
        return breakers.open_breakers(connection)


def take_in(engine: sa.Engine, settings: Settings, events: list[Event], minutes: float = 5) -> None:
    with writing(engine) as connection:
        halt_filtered(connection, settings, events, NOW + timedelta(minutes=minutes))


def test_ten_of_the_last_fifty_halt_the_sender(engine: sa.Engine, settings: Settings) -> None:
    take_in(engine, settings, [ended(number, number % 6 == 0) for number in range(54)])
    assert opened(engine) == []  # 9
    take_in(engine, settings, [ended(number, number % 5 == 0) for number in range(60)])
    (breaker,) = opened(engine)
    assert (breaker.subject, breaker.kind, breaker.code, breaker.actor) == (SENDER, "filtered", "30007", "events")
    assert breaker.until == NOW + timedelta(minutes=10)


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": Channel.WHATSAPP},
        {"provider": "sendgrid"},
        {"type": EventType.SENT},
        {"reason": "hard:30005"},
        {"identity": ("always the same",)},
        {"received_at": NOW - timedelta(hours=2)},
    ],
)
def test_other_events_do_not(engine: sa.Engine, settings: Settings, fields: dict[str, Any]) -> None:
    take_in(engine, settings, [ended(number, True, **fields) for number in range(20)])
    assert [breaker.subject for breaker in opened(engine)] == (
        ["sender:twilio:+15005550007"] if fields.get("channel") else []
    )


def test_what_came_before_a_person_closed_it_opens_nothing_again(engine: sa.Engine, settings: Settings) -> None:
    events = [ended(number, True) for number in range(20)]
    take_in(engine, settings, events)
    with writing(engine) as connection:
        breakers.close(connection, SENDER, breakers.PERSON, "ann", NOW + timedelta(minutes=6), "registered")
    take_in(engine, settings, events, minutes=7)
    assert opened(engine) == []
    take_in(engine, settings, [ended(number, True, minutes=8) for number in range(20)], minutes=9)
    assert [breaker.subject for breaker in opened(engine)] == [SENDER]


@pytest.mark.usefixtures("sent")
def test_callbacks_of_the_inbox_halt_by_the_policy_in_force(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = {"senders": {"sms": {"breaker": {"filtered": 2, "of": 5}}}}
    row = {"policy": "sending", "version": 1, "hash": "0", "definition": definition, "applied_at": NOW}
    with writing(engine) as connection:
        connection.execute(sa.insert(sending_versions).values(row))
    monkeypatch.setattr(Settings, "clock", property(lambda _self: lambda: NOW + timedelta(minutes=1)))
    filtered = {"ErrorCode": "30007"}
    receive_requests(*(twilio_status("undelivered", MessageSid=f"SM{number}", **filtered) for number in range(2)))
    receive(engine, lake, settings)
    assert [(breaker.subject, breaker.code) for breaker in opened(engine)] == [(SENDER, "30007")]


@pytest.mark.parametrize(("provider", "halted"), [("mailgun", True), ("smtp", True), ("postmark", False)])
def test_what_the_relay_tells_halts_the_sender_whose_server_it_is(
    engine: sa.Engine, settings: Settings, provider: str, halted: bool
) -> None:
    relayed = settings.model_copy(update={"email_provider": "smtp", "smtp_relay": "mailgun"})
    fields = {"channel": Channel.EMAIL, "provider": provider, "reason": "filtered:5.7.1"}
    take_in(engine, relayed, [ended(number, True, **fields) for number in range(10)])
    assert [breaker.subject for breaker in opened(engine)] == ["sender:smtp:news@example.com"] * halted
