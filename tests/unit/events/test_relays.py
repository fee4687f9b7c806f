"""Mailgun, Postmark, Amazon SES and bounce mails: what their events become, and that nothing makes them fall over."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from payloads import ANN, NOW, RUN

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import message_id
from campaign_pipeline.core.words import EventType, SuppressionReason
from campaign_pipeline.events.event import Event
from campaign_pipeline.events.normalise import PARSERS, normalise, to_frame
from campaign_pipeline.events.record import Record

MESSAGE = message_id(RUN, ANN, "email")
IDS = {"run_id": RUN, "message_id": MESSAGE, "attempt": "2"}
HARD, SOFT = SuppressionReason.HARD_BOUNCE, SuppressionReason.SOFT_BOUNCE


def parse(provider: str, body: str, kind: str = "events", at: datetime = NOW, **query: str) -> list[Event]:
    events, rejections = normalise([(0, Record(at, provider, kind, query, body))])
    assert rejections == []
    return events


def ses_post(**message: Any) -> str:
    mail = {
        "messageId": "ses-1",
        "timestamp": "2026-03-03T11:00:00.000Z",
        "destination": ["ann@example.com"],
        "tags": {name: [value] for name, value in IDS.items()},
    }
    envelope = {"Type": "Notification", "Message": orjson.dumps({"mail": mail} | message).decode()}
    return orjson.dumps(envelope).decode()


def mailgun_post(**event: Any) -> str:
    base = {"user-variables": IDS, "recipient": "ann@example.com", "timestamp": NOW.timestamp()}
    return orjson.dumps({"signature": {}, "event-data": base | event}).decode()


def postmark_post(**fields: Any) -> str:
    return orjson.dumps({"Metadata": IDS, "MessageID": "pm-1", "Recipient": "ann@example.com"} | fields).decode()


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("mailgun", mailgun_post(event="delivered")),
        ("postmark", postmark_post(RecordType="Delivery", DeliveredAt="2026-03-03T12:00:00Z")),
        ("ses", ses_post(eventType="Delivery", delivery={"timestamp": "2026-03-03T12:00:00Z"})),
    ],
)
def test_a_relay_hands_our_ids_back(provider: str, body: str) -> None:
    [event] = parse(provider, body)
    assert (event.run_id, event.message_id, event.attempt) == (RUN, MESSAGE, 2)
    assert (event.type, event.occurred_at, event.address) == (EventType.DELIVERED, NOW, "ann@example.com")


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"bounceType": "Permanent", "bounceSubType": "General"}, ("hard:5.1.1", HARD)),
        ({"bounceType": "Permanent", "bounceSubType": "OnAccountSuppressionList"}, ("hard:5.1.1", HARD)),
        ({"bounceType": "Permanent", "bounceSubType": "AttachmentRejected"}, ("hard:5.1.1", HARD)),
        ({"bounceType": "Transient", "bounceSubType": "MailboxFull"}, ("soft:5.1.1", SOFT)),
        ({"bounceType": "Undetermined", "bounceSubType": "Undetermined"}, ("soft:5.1.1", SOFT)),
        ({"bounceType": "Transient", "bounceSubType": "MessageTooLarge"}, ("body:5.1.1", None)),
        ({"bounceType": "Transient", "bounceSubType": "ContentRejected"}, ("filtered:5.1.1", None)),
        ({"bounceType": "Transient", "bounceSubType": "AttachmentRejected"}, ("filtered:5.1.1", None)),
    ],
)
def test_bounces_of_ses_have_the_class_that_amazon_gives_them(details: dict[str, str], expected: Any) -> None:
    recipients = [{"emailAddress": name, "status": "5.1.1"} for name in ("ann@example.com", "bob@example.com")]
    bounce = details | {"bouncedRecipients": recipients, "timestamp": "2026-03-03T12:00:00Z", "feedbackId": "f"}
    events = parse("ses", ses_post(notificationType="Bounce", bounce=bounce))
    assert [(event.reason, event.suppress) for event in events] == [expected, expected]
    assert [event.address for event in events] == ["ann@example.com", "bob@example.com"]
    assert len({event.event_id for event in events}) == 2


@pytest.mark.parametrize(
    ("kind", "details", "expected"),
    [
        ("Send", {}, (EventType.QUEUED, "", None)),
        (
            "DeliveryDelay",
            {"deliveryDelay": {"delayType": "MailboxFull", "delayedRecipients": [{"status": "4.2.2"}]}},
            (EventType.DEFERRED, "soft:4.2.2", None),
        ),
        ("Reject", {"reject": {"reason": "Bad content"}}, (EventType.FAILED, "content", None)),
        ("Rendering Failure", {}, (EventType.FAILED, "content", None)),
        ("Complaint", {"complaint": {}}, (EventType.COMPLAINED, "", SuppressionReason.COMPLAINED)),
        (
            "Complaint",
            {"complaint": {"complaintFeedbackType": "abuse"}},
            (EventType.COMPLAINED, "", SuppressionReason.COMPLAINED),
        ),
        ("Complaint", {"complaint": {"complaintFeedbackType": "not-spam"}}, (EventType.UNKNOWN, "", None)),
        ("Open", {"open": {"userAgent": "Mail"}}, (EventType.OPENED, "", None)),
        ("Click", {"click": {"link": "https://example.com/"}}, (EventType.CLICKED, "", None)),
        ("Subscription", {"subscription": {}}, (EventType.UNKNOWN, "", None)),
        (
            "Subscription",
            {"subscription": {"newTopicPreferences": {"unsubscribeAll": True}}},
            (EventType.UNSUBSCRIBED, "", SuppressionReason.UNSUBSCRIBED),
        ),
        ("Something new", {}, (EventType.UNKNOWN, "", None)),
    ],
)
def test_types_of_ses(kind: str, details: dict[str, Any], expected: Any) -> None:
    [event] = parse("ses", ses_post(eventType=kind, **details))
    assert (event.type, event.reason, event.suppress) == expected


def test_one_bounce_of_ses_can_tell_of_a_recipient_who_is_only_delayed() -> None:
    recipients = [
        {"emailAddress": "ann@example.com", "status": "5.1.1", "action": "failed"},
        {"emailAddress": "bob@example.com", "status": "4.0.0", "action": "delayed"},
    ]
    bounce = {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": recipients}
    events = parse("ses", ses_post(notificationType="Bounce", bounce=bounce))
    assert [(event.reason, event.suppress) for event in events] == [("hard:5.1.1", HARD), ("soft:4.0.0", SOFT)]


def test_the_zone_of_a_time_of_ses_may_stand_behind_a_space() -> None:
    mail = {"messageId": "ses-1", "timestamp": "2026-03-03T14:00:00 +0200"}
    assert [event.occurred_at for event in parse("ses", ses_post(eventType="Send", mail=mail))] == [NOW]


def test_a_confirmation_that_amazon_asks_for_is_left_to_a_person() -> None:
    body = orjson.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.example/"}).decode()
    events, [rejection] = normalise([(7, Record(NOW, "ses", "events", {}, body))])
    assert (events, rejection.position, rejection.content) == ([], 7, body)
    assert "SubscribeURL" in rejection.reason


def test_an_older_form_of_mailgun_is_read() -> None:
    form = urlencode(
        {**IDS, "event": "bounced", "code": "550", "recipient": "ann@example.com", "timestamp": "1772539200"}
    )
    [event] = parse("mailgun", form)
    assert (event.message_id, event.type, event.reason) == (MESSAGE, EventType.UNDELIVERED, "soft:550")
    assert event.occurred_at == datetime.fromtimestamp(1772539200, UTC)


def test_what_mailgun_says_of_bots_is_kept() -> None:
    opened = [
        mailgun_post(event="opened", **{"client-info": {"bot": bot, "user-agent": "UA"}}) for bot in ("apple", "")
    ]
    assert [(each.machine, each.user_agent) for body in opened for each in parse("mailgun", body)] == [
        (True, "UA"),
        (False, "UA"),
    ]


def test_a_posting_that_is_repeated_later_is_the_same_event() -> None:
    later = datetime(2026, 3, 4, tzinfo=UTC)
    bodies = {
        "mailgun": mailgun_post(event="opened"),
        "postmark": postmark_post(RecordType="Open", ReceivedAt="2026-03-03T12:00:00Z"),
        "ses": ses_post(eventType="Open", open={"timestamp": "2026-03-03T12:00:00Z"}),
    }
    for provider, body in bodies.items():
        assert parse(provider, body)[0].event_id == parse(provider, body, at=later)[0].event_id
    other = postmark_post(RecordType="Open", ReceivedAt="2026-03-03T12:00:01Z")
    assert parse("postmark", other)[0].event_id != parse("postmark", bodies["postmark"])[0].event_id


def bounce_mail(*blocks: str, quoted: str = "") -> str:
    report = "\r\n\r\n".join(["Reporting-MTA: dns; mx.example.com", *blocks])
    return (
        "From: MAILER-DAEMON@mx.example.com\r\nDate: Tue, 03 Mar 2026 12:00:00 +0000\r\nMessage-ID: <b1@mx>\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\n{report}\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{quoted}\r\n--b--\r\n"
    )


def block(status: str, action: str = "failed", said: str = "", to: str = "eve@example.com", at: str = "") -> str:
    diagnostic = f"\r\nDiagnostic-Code: smtp; {said}" if said else ""
    tried = f"\r\nLast-Attempt-Date: {at}" if at else ""
    return f"Final-Recipient: rfc822; {to}\r\nAction: {action}\r\nStatus: {status}{diagnostic}{tried}"


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (block("5.1.1"), (EventType.UNDELIVERED, "hard:5.1.1", HARD)),
        (block("5.0.0", said="550 5.1.10 gone"), (EventType.UNDELIVERED, "soft:5.0.0", SOFT)),
        (block("5.2.2"), (EventType.UNDELIVERED, "soft:5.2.2", SOFT)),
        (block("4.4.7"), (EventType.UNDELIVERED, "soft:4.4.7", SOFT)),
        (block("5.7.1"), (EventType.UNDELIVERED, "filtered:5.7.1", None)),
        (block("4.2.2", "delayed"), (EventType.DEFERRED, "soft:4.2.2", None)),
        (block("2.0.0", "delivered"), (EventType.DELIVERED, "", None)),
        (block("2.0.0", "lost"), (EventType.UNKNOWN, "", None)),
        (block("5.1.1", "Failed (eve@example.com is gone)"), (EventType.UNDELIVERED, "hard:5.1.1", HARD)),
    ],
)
def test_a_bounce_suppresses_by_its_status_the_one_to_whom_our_message_went(report: str, expected: Any) -> None:
    [event] = parse("smtp", bounce_mail(report), "bounce", **IDS)
    assert (event.type, event.reason, event.suppress) == expected
    assert (event.message_id, event.attempt, event.address) == (MESSAGE, 2, "")
    assert event.provider_id == f"{MESSAGE}.2"
    assert "example.com" not in str(to_frame([event]).rows())


def test_each_delay_is_an_event_of_its_own_and_a_mail_that_comes_twice_is_not() -> None:
    days = [bounce_mail(block("4.4.1", "delayed", at=f"Tue, 0{day} Mar 2026 12:00:00 +0000")) for day in (3, 4, 3)]
    first, second, again = (parse("smtp", mail, "bounce", **IDS)[0] for mail in days)
    assert first.event_id != second.event_id
    assert first.event_id == again.event_id


def test_the_headers_that_a_bounce_quotes_name_the_message() -> None:
    quoted = f"X-Campaign-Run: {RUN}\r\nX-Campaign-Message: {MESSAGE}\r\nX-Campaign-Attempt: 1\r\n"
    [event] = parse("smtp", bounce_mail(block("5.1.1"), quoted=quoted), "bounce")
    assert (event.run_id, event.message_id, event.attempt, event.suppress) == (RUN, MESSAGE, 1, HARD)


def test_a_mail_that_is_no_bounce_is_set_aside() -> None:
    events, [rejection] = normalise([(0, Record(NOW, "smtp", "bounce", {}, "Subject: I am away\r\n\r\nUntil Monday."))])
    assert (events, rejection.reason) == ([], "the mail holds no delivery status (RFC 3464)")


NAMES = st.sampled_from(
    [
        *("event", "event-data", "user-variables", "delivery-status", "code", "message", "timestamp", "recipient"),
        *("severity", "reason", "RecordType", "Type", "Metadata", "BouncedAt", "Message", "mail", "bounce"),
        *("bouncedRecipients", "notificationType", "eventType", "tags", "headers", "run_id"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def _encodable(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer of more than 64 bits
        return repr(value).encode()


@pytest.mark.parametrize("parser", [PARSERS[name, "events"] for name in ("mailgun", "postmark", "ses")])
@given(value=VALUES, wrapped=st.booleans())
def test_any_json_is_read_or_refused_as_invalid(parser: Callable[[Record], Any], value: Any, wrapped: bool) -> None:
    body = _encodable(value).decode()
    if wrapped:
        body = orjson.dumps({"Type": "Notification", "Message": body, "RecordType": "Bounce"}).decode()
    with suppress(InvalidInput):
        assert all(isinstance(each, Event | tuple) for each in parser(Record(NOW, "any", "events", {}, body)))


@given(st.text() | st.text(alphabet="Action: failed\r\nStatus5.1 -=b/;", max_size=200))
def test_any_mail_is_read_or_refused_as_invalid(text: str) -> None:
    parser = PARSERS["smtp", "bounce"]
    with suppress(InvalidInput):
        assert all(isinstance(each, Event) for each in parser(Record(NOW, "smtp", "bounce", {}, bounce_mail(text))))


REPORTS = st.lists(
    st.builds(
        block,
        st.sampled_from(["5.1.1", "4.2.2", "2.0.0"]),
        st.sampled_from(["failed", "delayed", "delivered"]),
        to=st.sampled_from(["eve@example.com", "fay@example.com"]),
    ),
    min_size=1,
    max_size=4,
)


def ids(events: list[Event]) -> set[str]:
    return {event.event_id for event in events}


@given(reports=REPORTS, mixed=st.randoms(use_true_random=False))
def test_the_reports_of_a_bounce_are_the_same_events_in_any_order_and_number(reports: list[str], mixed: Random) -> None:
    other = [*reports, *mixed.choices(reports, k=2)]
    mixed.shuffle(other)
    assert ids(parse("smtp", bounce_mail(*other), "bounce")) == ids(parse("smtp", bounce_mail(*reports), "bounce"))


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("mailgun", mailgun_post(event="clicked", url="https://example.com/", id="e1")),
        ("postmark", postmark_post(RecordType="Click", ReceivedAt="2026-03-03T12:00:00Z", OriginalLink="https://a/")),
        ("ses", ses_post(eventType="Click", click={"link": "https://a/", "timestamp": "2026-03-03T12:00:00Z"})),
    ],
)
@given(mixed=st.randoms(use_true_random=False), hours=st.integers(0, 48))
def test_a_post_is_the_same_event_whatever_the_order_of_its_fields(
    provider: str, body: str, mixed: Random, hours: int
) -> None:
    again = orjson.dumps(_shuffled(orjson.loads(body), mixed)).decode()
    assert ids(parse(provider, again, at=NOW + timedelta(hours=hours))) == ids(parse(provider, body))


def _shuffled(value: Any, mixed: Random) -> Any:
    """With the fields of all objects in another order, of those in SNS' text as well."""
    if not isinstance(value, dict):
        return value
    fields = [(name, _shuffled(part, mixed)) for name, part in value.items()]
    mixed.shuffle(fields)
    other = dict(fields)
    if "Message" in other:
        other["Message"] = orjson.dumps(_shuffled(orjson.loads(other["Message"]), mixed)).decode()
    return other
