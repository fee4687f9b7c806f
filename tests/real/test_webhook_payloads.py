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
