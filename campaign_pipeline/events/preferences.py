"""What contacts chose on their page of preferences: consent that is given or withdrawn."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson
import sqlalchemy as sa

from campaign_pipeline.contacts.preferences import Preference, change_preferences
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import digest
from campaign_pipeline.core.words import Channel, ConsentState
from campaign_pipeline.events.attribution import MessageKey, Recipient
from campaign_pipeline.events.event import Event, message_key
from campaign_pipeline.events.record import Record

KIND = "preferences"
TOPIC = re.compile(r"[a-z][a-z0-9_]{0,31}")
MOST = 100
"""Topics and channels that one page changes."""

_CHOICES = {state.value: state for state in (ConsentState.GRANTED, ConsentState.WITHDRAWN)}


def apply_preferences(
    connection: sa.Connection,
    records: Iterable[tuple[int, Record]],
    events: Iterable[Event],
    recipients: Mapping[MessageKey, Recipient],
) -> int:
    """How many consents changed. Other records are passed over, and so are those of contacts who were erased.

    `events`: those of the records, which know the channel of their message.
    """
    channels = {(event.run_id, event.message_id): event.channel for event in events if event.raw_type == KIND}
    changed = 0
    for _, record in records:
        if (record.provider, record.kind) != ("own", KIND):
            continue
        try:
            wanted = chosen(record)
        except InvalidInput:
            continue  # is set aside with the other records that cannot be read
        key = message_key(record.query.get("run_id"), record.query.get("message_id"))
        if key not in recipients:
            continue
        evidence = {"run_id": key[0], "message_id": key[1]}
        evidence |= {"ip": record.query["ip"]} if record.query.get("ip") else {}
        changed += change_preferences(
            connection,
            recipients[key].contact_id,
            wanted,
            by=channels[key],
            at=record.received_at,
            source_id=digest(KIND, *key, record.received_at.isoformat()),
            evidence=evidence,
        )
    return changed


def chosen(record: Record) -> list[Preference]:
    """What the record's body asks for: a JSON array of {topic, channel, state}."""
    try:
        items: Any = orjson.loads(record.body)
        asked = [
            Preference(item["topic"], Channel(item["channel"]), _CHOICES[item["state"]])
            for item in cast("list[dict[str, str]]", items)
        ]
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError):
        raise InvalidInput("the body does not say which consents are given or withdrawn") from None
    if not 1 <= len(asked) <= MOST or not all(TOPIC.fullmatch(each.topic) for each in asked):
        raise InvalidInput("the body does not name topics")
    return asked
