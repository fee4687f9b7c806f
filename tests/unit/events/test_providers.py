"""Each provider's payloads become our events."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.core.words import Channel, EventType, SuppressionReason
from campaign_pipeline.events.event import Event
from campaign_pipeline.events.normalise import normalise, to_frame
from campaign_pipeline.events.providers.twilio import keyword_class
from campaign_pipeline.events.record import Record

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
RUN, MESSAGE = "spring-sale--20260302t090000z", "c" * 24
IDS = {"run_id": RUN, "message_id": MESSAGE, "attempt": "2"}


def sendgrid(**fields: Any) -> Event:
    item = {"email": "a@example.com", "timestamp": 1772535600, "sg_message_id": "x.filter1.2.0", **IDS} | fields
    events, rejections = normalise([(0, Record(NOW, "sendgrid", "events", {}, orjson.dumps([item]).decode()))])
    assert rejections == []
    return events[0]


def twilio(kind: str, query: dict[str, str], **form: str) -> Event:
    events, rejections = normalise([(0, Record(NOW, "twilio", kind, query, urlencode(form)))])
    assert rejections == []
    return events[0]


def status(**form: str) -> Event:
    return twilio("status", IDS, **{"MessageSid": "SM1", "To": "+12025550101"} | form)


def test_a_sendgrid_event_carries_message_time_and_provider_id() -> None:
    event = sendgrid(event="delivered", sg_message_id="wrf.filter0425p1mdw1.13037.57168B4A1D.0")
    assert (event.run_id, event.message_id, event.attempt) == (RUN, MESSAGE, 2)
    assert event.occurred_at == datetime(2026, 3, 3, 11, tzinfo=UTC)
    assert (event.channel, event.type, event.provider_id) == (Channel.EMAIL, EventType.DELIVERED, "wrf")


@pytest.mark.parametrize(
    ("fields", "reason", "suppress"),
    [
        ({"event": "bounce", "type": "bounce", "status": "5.1.1"}, "hard:5.1.1", "hard_bounce"),
        ({"event": "bounce", "type": "blocked", "status": "5.7.1"}, "soft:5.7.1", "soft_bounce"),
        ({"event": "bounce", "status": "4.2.2"}, "soft:4.2.2", "soft_bounce"),
        ({"event": "bounce", "status": "5.0.0"}, "hard:5.0.0", "hard_bounce"),
        ({"event": "dropped", "reason": "Bounced Address"}, "hard", "hard_bounce"),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, "unsubscribed", "unsubscribed"),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, "complained", "complained"),
        ({"event": "dropped", "reason": "Spam Content (if Spam Checker app enabled)"}, "content", None),
        ({"event": "spamreport"}, "", "complained"),
        ({"event": "unsubscribe"}, "", "unsubscribed"),
        ({"event": "group_unsubscribe"}, "", "unsubscribed"),
        ({"event": "group_resubscribe"}, "", None),
    ],
)
def test_sendgrid_failures_and_consent_are_classed(fields: dict[str, Any], reason: str, suppress: str | None) -> None:
    event = sendgrid(**fields)
    assert (event.reason, event.suppress) == (reason, suppress)
    assert not event.lifts


def test_the_mail_server_text_of_a_bounce_is_not_kept() -> None:
    event = sendgrid(event="bounce", type="bounce", reason="550 <a@example.com>: unknown user")
    assert "example.com" not in str(to_frame([event]).rows())


def test_machine_opens_are_marked_and_clicks_have_their_url() -> None:
    assert sendgrid(event="open", sg_machine_open=True).machine
    assert not sendgrid(event="open", sg_machine_open=False).machine
    assert sendgrid(event="click", url="https://example.com/a").url == "https://example.com/a"


def test_the_attempt_of_a_deferral_is_sendgrids_and_not_ours() -> None:
    assert sendgrid(event="deferred", attempt="7").attempt is None


def test_a_changed_sg_event_id_is_the_same_event_and_other_content_is_not() -> None:
    event = sendgrid(event="click", url="https://a.example", sg_event_id="1")
    assert sendgrid(event="click", url="https://a.example", sg_event_id="2").event_id == event.event_id
    others = [
        {"url": "https://b.example"},
        {"timestamp": 1772535601},
        {"event": "open"},
        {"message_id": "d" * 24},
        {"sg_message_id": "y.filter1.2.0"},
    ]
    base = {"event": "click", "url": "https://a.example"}
    assert len({event.event_id, *(sendgrid(**base | other).event_id for other in others)}) == 6


@pytest.mark.parametrize("bad", [{"run_id": "../../etc", "message_id": MESSAGE}, {"run_id": RUN, "message_id": "x"}])
def test_ids_that_are_not_written_as_ours_name_no_message(bad: dict[str, str]) -> None:
    event = sendgrid(event="open", **bad)
    assert (event.run_id, event.message_id) == ("", "")


def test_an_unknown_type_is_kept_as_unknown() -> None:
    event = sendgrid(event="account_status_change")
    assert (event.type, event.raw_type) == (EventType.UNKNOWN, "account_status_change")
    assert status(MessageStatus="teleported").type is EventType.UNKNOWN


def test_one_bad_item_does_not_block_the_others() -> None:
    items: list[Any] = [{"event": "open", "timestamp": 1}, {"event": "open", "timestamp": "x"}, 5, {"timestamp": 1}]
    record = Record(NOW, "sendgrid", "events", {}, orjson.dumps(items).decode())
    events, rejections = normalise([(7, record)])
    assert (len(events), [rejection.position for rejection in rejections]) == (1, [7, 7, 7])
    assert "number of seconds" in rejections[0].reason


@pytest.mark.parametrize(
    ("provider", "kind", "body"),
    [
        ("sendgrid", "events", "{"),
        ("sendgrid", "events", "{}"),
        ("twilio", "status", ""),
        ("twilio", "inbound", "MessageSid=SM1"),
        ("own", "unsubscribe", ""),
        ("pigeon", "post", ""),
    ],
)
def test_a_body_that_cannot_be_read_is_set_aside(provider: str, kind: str, body: str) -> None:
    events, rejections = normalise([(3, Record(NOW, provider, kind, {}, body))])
    assert (events, len(rejections), rejections[0].content) == ([], 1, body)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("accepted", EventType.QUEUED),
        ("scheduled", EventType.SCHEDULED),
        ("sending", EventType.QUEUED),
        ("sent", EventType.SENT),
        ("partially_delivered", EventType.DELIVERED),
        ("read", EventType.READ),
        ("undelivered", EventType.UNDELIVERED),
        ("failed", EventType.FAILED),
        ("canceled", EventType.CANCELLED),
    ],
)
def test_twilio_statuses_have_their_place_in_the_lifecycle(raw: str, expected: EventType) -> None:
    event = status(MessageStatus=raw)
    assert (event.type, event.run_id, event.message_id, event.attempt) == (expected, RUN, MESSAGE, 2)
    assert (event.provider_id, event.occurred_at) == ("SM1", NOW)


@pytest.mark.parametrize(
    ("code", "reason", "suppress"),
    [
        ("30005", "hard:30005", SuppressionReason.HARD_BOUNCE),
        ("21610", "opted_out:21610", SuppressionReason.OPTED_OUT),
        ("30003", "soft:30003", SuppressionReason.SOFT_BOUNCE),
        ("30007", "filtered:30007", None),
        ("99999", "unknown:99999", None),
        ("", "", None),
    ],
)
def test_twilio_error_codes_are_classed(code: str, reason: str, suppress: SuppressionReason | None) -> None:
    event = status(MessageStatus="undelivered", ErrorCode=code)
    assert (event.reason, event.suppress) == (reason, suppress)


def test_a_repeated_callback_is_the_same_event_whenever_it_comes() -> None:
    body = urlencode({"MessageSid": "SM1", "MessageStatus": "sent"})
    records = [(0, Record(NOW + timedelta(hours=hours), "twilio", "status", {}, body)) for hours in (0, 1)]
    events, _ = normalise(records)
    assert events[0].event_id == events[1].event_id


def test_whatsapp_addresses_are_of_their_channel() -> None:
    event = status(MessageStatus="read", To="whatsapp:+12025550101")
    assert (event.channel, event.address) == (Channel.WHATSAPP, "+12025550101")


def test_a_json_callback_is_read_like_a_form() -> None:
    record = Record(NOW, "twilio", "status", {"bodySHA256": "x"}, '{"MessageSid":"SM1","MessageStatus":"sent"}')
    events, rejections = normalise([(0, record)])
    assert (events[0].type, rejections) == (EventType.SENT, [])


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        *((word, "stop") for word in ("STOP", "stopall", "Unsubscribe", "END", "quit", "Cancel", "revoke", "optout")),
        *((word, "start") for word in ("START", "yes", "Unstop")),
        *((word, "help") for word in ("help", "INFO")),
        *((text, "stop") for text in (" stop ", "STOP.", "“Stop!”", "stop\n")),
        *((text, "") for text in ("", "Stop it some day", "don't stop", "Thanks!", "yes please")),
    ],
)
def test_keywords_stand_alone(text: str, keyword: str) -> None:
    assert keyword_class(text) == keyword


def test_an_inbound_message_is_an_opt_out_an_opt_in_or_a_reply_and_its_text_is_not_kept() -> None:
    kinds = {"STOP": EventType.UNSUBSCRIBED, "start": EventType.RESUBSCRIBED, "help": EventType.REPLIED}
    for text, kind in {**kinds, "My name is Ann": EventType.REPLIED}.items():
        event = twilio("inbound", {}, MessageSid="SM9", From="whatsapp:+12025550101", Body=text)
        assert (event.type, event.channel) == (kind, Channel.WHATSAPP)
        assert "Ann" not in str(to_frame([event]).rows())
        assert "2025550101" not in str(to_frame([event]).rows())
    advanced = twilio("inbound", {}, MessageSid="SM9", From="+12025550101", Body="ARRET", OptOutType="STOP")
    assert (advanced.type, advanced.suppress) == (EventType.UNSUBSCRIBED, SuppressionReason.OPTED_OUT)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5), st.text())
def test_no_payload_breaks_the_parsers(value: Any, text: str) -> None:
    items = [{"event": value, "timestamp": 1}, {"event": "open", "timestamp": value}, {**IDS, "event": text}, value]
    body = orjson.dumps(items).decode() if text.isascii() else text
    for provider, kind in (("sendgrid", "events"), ("twilio", "status"), ("twilio", "inbound")):
        events, _ = normalise([(0, Record(NOW, provider, kind, {}, body))])
        to_frame(events)
