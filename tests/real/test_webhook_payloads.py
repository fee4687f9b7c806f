"""Real payloads and signatures of providers."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.words import EventType, SuppressionReason
from campaign_pipeline.events.normalise import normalise, to_frame
from campaign_pipeline.events.record import Record
from campaign_pipeline.events.verification import verify_sendgrid

EXPECTED = {
    "test_processed_event": (EventType.QUEUED, "", None),
    "test_delivered_event": (EventType.DELIVERED, "", None),
    "test_dropped_invalid_event": (EventType.FAILED, "hard", SuppressionReason.HARD_BOUNCE),
    "test_dropped_bounced": (EventType.FAILED, "hard:5.0.0", SuppressionReason.HARD_BOUNCE),
    "test_dropped_unsubscribed_event": (EventType.FAILED, "unsubscribed", SuppressionReason.UNSUBSCRIBED),
    "test_bounce_event": (EventType.UNDELIVERED, "hard:5.1.1", SuppressionReason.HARD_BOUNCE),
    "test_deferred_event": (EventType.DEFERRED, "", None),
    "test_open_event": (EventType.OPENED, "", None),
    "test_click_event": (EventType.CLICKED, "", None),
    "test_compatibility_message_id_from_smtp_id": (EventType.DELIVERED, "", None),
}


def test_every_sendgrid_payload_normalises_to_the_expected_type(shared_data: Path) -> None:
    cases: list[dict[str, Any]] = orjson.loads((shared_data / "webhooks" / "anymail_sendgrid.json").read_bytes())
    assert {case["test"] for case in cases} == set(EXPECTED)
    now = datetime(2026, 3, 2, tzinfo=UTC)
    for case in cases:
        body = orjson.dumps(case["payload"]).decode()
        events, rejections = normalise([(0, Record(now, "sendgrid", "events", {}, body))])
        assert rejections == []
        [event], [item] = events, case["payload"]
        assert (event.type, event.reason, event.suppress) == EXPECTED[case["test"]], case["test"]
        assert event.occurred_at.timestamp() == item["timestamp"]
        assert event.url == item.get("url")
        assert item["email"] not in str(to_frame(events).rows())


def test_the_signed_sendgrid_post_verifies_byte_for_byte(shared_data: Path) -> None:
    vector: dict[str, str] = orjson.loads((shared_data / "webhooks" / "sendgrid_signed_vector.json").read_bytes())
    key, signature, timestamp = vector["public_key"], vector["signature"], vector["timestamp"]
    now = datetime.fromtimestamp(int(timestamp), UTC)
    body = vector["payload"].encode()
    verify_sendgrid(key, signature, timestamp, body, now)
    for other in (body.rstrip(), orjson.dumps(orjson.loads(body)), body + b" "):
        with pytest.raises(Refused, match="does not fit"):
            verify_sendgrid(key, signature, timestamp, other, now)


NONE = ("", None)
MAILGUN = {
    "test_delivered_event": (EventType.DELIVERED, *NONE),
    "test_failed_permanent_event": (EventType.UNDELIVERED, "hard:5.1.1", SuppressionReason.HARD_BOUNCE),
    "test_failed_temporary_event": (EventType.DEFERRED, "soft:498", None),
    "test_failed_greylisted_event": (EventType.DEFERRED, "soft:450", None),
    "test_rejected_event": (EventType.FAILED, "content", None),
    "test_complained_event": (EventType.COMPLAINED, "", SuppressionReason.COMPLAINED),
    "test_unsubscribed_event": (EventType.UNSUBSCRIBED, "", SuppressionReason.UNSUBSCRIBED),
    "test_opened_event": (EventType.OPENED, *NONE),
    "test_clicked_event": (EventType.CLICKED, *NONE),
    "test_delivery_status_is_none_event": (EventType.QUEUED, *NONE),
    "test_dropped_spam": (EventType.FAILED, "complained:607", SuppressionReason.COMPLAINED),
    "test_dropped_timed_out": (EventType.FAILED, "soft:499", SuppressionReason.SOFT_BOUNCE),
    "test_invalid_mailbox": (EventType.UNDELIVERED, "hard:5.1.1", SuppressionReason.HARD_BOUNCE),
    "test_alt_smtp_code": (EventType.UNDELIVERED, "hard:5.1.1", SuppressionReason.HARD_BOUNCE),
    "test_metadata_post_fields": (EventType.CLICKED, *NONE),
    "test_metadata_key_conflicts": (EventType.CLICKED, *NONE),
    "test_tags": (EventType.OPENED, *NONE),
    "test_x_tags": (EventType.DELIVERED, *NONE),
    "test_misconfigured_inbound": "this is an inbound mail",
}
POSTMARK = {
    "test_bounce_event": (EventType.UNDELIVERED, "hard:5.1.1", SuppressionReason.HARD_BOUNCE),
    "test_delivered_event": (EventType.DELIVERED, *NONE),
    "test_open_event": (EventType.OPENED, *NONE),
    "test_click_event": (EventType.CLICKED, *NONE),
    "test_spam_event": (EventType.COMPLAINED, "", SuppressionReason.COMPLAINED),
    "test_unsubscribe": (EventType.UNSUBSCRIBED, "", SuppressionReason.UNSUBSCRIBED),
    "test_resubscribe": (EventType.RESUBSCRIBED, *NONE),
    "test_subscription_change_bounce": (EventType.UNDELIVERED, "hard", SuppressionReason.HARD_BOUNCE),
    "test_bounce_unsubscribe_variant": (EventType.UNSUBSCRIBED, "", SuppressionReason.UNSUBSCRIBED),
}
ADDRESSES = ("recipient", "Recipient", "Email")
MAILS = {
    "multi_address_bounce1.eml": [(EventType.UNDELIVERED, "hard:5.1.1")] * 5,
    "multi_address_bounce2.eml": [(EventType.UNDELIVERED, "hard:5.1.1")] * 5,
    "multipart_report_multiple_status.eml": [(EventType.UNDELIVERED, "soft:5.3.0")],
    "report_422.eml": [(EventType.DEFERRED, "soft:4.2.2")],
    "report_530.eml": [(EventType.UNDELIVERED, "soft:5.3.0")],
}


@pytest.mark.parametrize(("provider", "expected"), [("mailgun", MAILGUN), ("postmark", POSTMARK)])
def test_every_payload_of_other_providers_normalises_to_the_expected_type(
    shared_data: Path, provider: str, expected: dict[str, Any]
) -> None:
    cases: list[dict[str, Any]] = orjson.loads((shared_data / "webhooks" / f"anymail_{provider}.json").read_bytes())
    assert {case["test"] for case in cases} == set(expected)
    now = datetime(2026, 3, 2, tzinfo=UTC)
    for case in cases:
        body = orjson.dumps(case["payload"]).decode()
        events, rejections = normalise([(0, Record(now, provider, "events", {}, body))])
        wanted, name = expected[case["test"]], case["test"]
        if isinstance(wanted, str):
            assert (events, [each.reason.startswith(wanted) for each in rejections]) == ([], [True]), name
            continue
        [event], item = events, case["payload"].get("event-data", case["payload"])
        assert (event.type, event.reason, event.suppress) == wanted, name
        assert event.url == (item.get("url") or item.get("OriginalLink")), name
        [address] = {item[field] for field in ADDRESSES if item.get(field)} or {""}
        assert event.address == address, name
        assert not address or address not in str(to_frame(events).rows()), name
        if "timestamp" in item:
            assert event.occurred_at.timestamp() == pytest.approx(float(item["timestamp"]), abs=1e-6), name


def test_postmark_times_with_seven_digits_are_read(shared_data: Path) -> None:
    cases: list[dict[str, Any]] = orjson.loads((shared_data / "webhooks" / "anymail_postmark.json").read_bytes())
    [bounce] = [case["payload"] for case in cases if case["test"] == "test_bounce_event"]
    [event], _ = normalise(
        [(0, Record(datetime(2026, 3, 2, tzinfo=UTC), "postmark", "events", {}, orjson.dumps(bounce).decode()))]
    )
    assert event.occurred_at == datetime(2016, 4, 27, 20, 28, 50, 396393, UTC)


@pytest.mark.parametrize("name", MAILS)
def test_every_bounce_mail_is_read(shared_data: Path, name: str) -> None:
    mail = (shared_data / "messages" / "dsn" / name).read_bytes().decode("latin-1")
    events, rejections = normalise([(0, Record(datetime(2026, 3, 2, tzinfo=UTC), "smtp", "bounce", {}, mail))])
    assert rejections == []
    assert [(event.type, event.reason) for event in events] == MAILS[name]
    assert len({event.event_id for event in events}) == len(events)
    # Nobody is suppressed by a mail that names no message of ours: anybody may have written it.
    assert {(event.message_id, event.address, event.suppress) for event in events} == {("", "", None)}
