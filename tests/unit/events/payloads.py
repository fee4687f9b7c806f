"""A small world of events: two contacts, an e-mail run, an SMS run, and what providers post about them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.ids import message_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import campaign_versions, claims, outcomes, runs

RUN = "spring-sale--20260302t090000z"
SMS_RUN = "flash--20260303t090000z"
NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
ANN, BOB = "a" * 24, "b" * 24
ANN_EMAIL, BOB_EMAIL = "ann@example.com", "bob@example.com"
ANN_PHONE, BOB_PHONE = "+12025550101", "+12025550102"

Request = tuple[str, str, Mapping[str, str], bytes]
"""provider, kind, query, body"""


def sendgrid_post(*items: Mapping[str, Any]) -> Request:
    return "sendgrid", "events", {}, orjson.dumps(list(items))


def sendgrid_item(event: str, contact: str = ANN, **fields: Any) -> dict[str, Any]:
    message = message_id(RUN, contact, "email")
    item = {
        "email": ANN_EMAIL if contact == ANN else BOB_EMAIL,
        "event": event,
        "timestamp": int(NOW.timestamp()),
        "sg_message_id": f"x-{contact[:4]}.filter0425.13037.0",
        "sg_event_id": "e1",
        "run_id": RUN,
        "message_id": message,
        "attempt": "1",
    }
    return item | fields


def twilio_status(status: str, contact: str = ANN, **fields: str) -> Request:
    query = {"run_id": SMS_RUN, "message_id": message_id(SMS_RUN, contact, "sms"), "attempt": "1"}
    to = ANN_PHONE if contact == ANN else BOB_PHONE
    form = {"MessageSid": f"SM{contact[:4]}", "MessageStatus": status, "To": to, "From": "+15005550006"} | fields
    return "twilio", "status", query, urlencode(form).encode()


def twilio_inbound(text: str, sender: str = ANN_PHONE, sid: str = "SMin1") -> Request:
    form = {"MessageSid": sid, "From": sender, "To": "+15005550006", "Body": text}
    return "twilio", "inbound", {}, urlencode(form).encode()


def unsubscription(run_id: str = RUN, contact: str = ANN) -> Request:
    channel = "email" if run_id == RUN else "sms"
    query = {"run_id": run_id, "message_id": message_id(run_id, contact, channel)}
    return "own", "unsubscribe", query, b"List-Unsubscribe=One-Click"


def add_run(
    connection: sa.Connection,
    lake: Lake,
    run_id: str,
    campaign: str,
    channel: str,
    addresses: tuple[str, str],
    at: datetime,
    outcome: str = "accepted",
) -> None:
    version = {"campaign": campaign, "version": 1, "hash": "0" * 24, "definition": {"channel": channel}}
    connection.execute(sa.insert(campaign_versions).values(version | {"applied_at": at}))
    run = {"run_id": run_id, "campaign": campaign, "version": 1, "as_of": at, "state": "completed"}
    connection.execute(sa.insert(runs).values(run | {"requested_by": "cli", "created_at": at}))
    claim = {"run_id": run_id, "batch_no": 0, "attempt": 1, "worker": "w", "claimed_at": at}
    connection.execute(sa.insert(claims).values(claim))
    for number in range(2):
        row = {"run_id": run_id, "message_no": number, "attempt": 1, "source": "send", "outcome": outcome}
        connection.execute(sa.insert(outcomes).values(row | {"recorded_at": at}))
    frame = pl.DataFrame(
        {
            "message_no": [0, 1],
            "batch_no": [0, 0],
            "message_id": [message_id(run_id, contact, channel) for contact in (ANN, BOB)],
            "contact_id": [ANN, BOB],
            "address": list(addresses),
            "variant": ["a", "b"],
            "send_at": [at, at],
        },
        schema_overrides={"message_no": pl.Int32, "batch_no": pl.Int32, "send_at": pl.Datetime("us", "UTC")},
    )
    lake.write(frame, "messages", run_id)
