"""From what the inbox keeps to normalised events, and from those to the lake's rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import polars as pl

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.events.event import Event
from campaign_pipeline.events.inbox_reader import Rejection
from campaign_pipeline.events.networks import with_network
from campaign_pipeline.events.providers import dsn, mailgun, own, postmark, sendgrid, ses, twilio
from campaign_pipeline.events.record import Record

Parser = Callable[[Record], Iterable[Event | tuple[str, str]]]

PARSERS: dict[tuple[str, str], Parser] = {
    ("sendgrid", "events"): sendgrid.events,
    ("twilio", "status"): twilio.status_events,
    ("twilio", "inbound"): twilio.inbound_events,
    ("mailgun", "events"): mailgun.events,
    ("postmark", "events"): postmark.events,
    ("ses", "events"): ses.events,
    ("smtp", "bounce"): dsn.bounces,
    ("own", "unsubscribe"): own.unsubscribe_events,
    ("own", "click"): own.click_events,
    ("own", "preferences"): own.preference_events,
    ("own", "confirm"): own.confirmation,
}
"""By provider and kind of the record. A new provider is a file in providers/ and a line here."""

SCHEMA: dict[str, pl.DataType] = {
    "event_id": pl.String(),
    "run_id": pl.String(),
    "message_id": pl.String(),
    "provider": pl.String(),
    "channel": pl.String(),
    "type": pl.String(),
    "occurred_at": pl.Datetime("us", "UTC"),
    "received_at": pl.Datetime("us", "UTC"),
    "provider_id": pl.String(),
    "reason": pl.String(),
    "url": pl.String(),  # the only one that may be null
    "machine": pl.Boolean(),
    "raw_type": pl.String(),
}
"""The columns that received_events and delivery_events share. No address, no text of a reply."""

RECEIVED: dict[str, pl.DataType] = {
    **SCHEMA,
    "user_agent": pl.String(),  # of what opened or clicked; null: not known
    "network": pl.String(),  # of its IP address, see networks.py; likewise
}
"""The columns of received_events: `machine` is what the payload itself says, the last two are for machines.py."""

WORKING: dict[str, pl.DataType] = {
    **RECEIVED,
    "attempt": pl.Int64(),  # of the send; null: the payload does not say
    "address": pl.String(),
    "suppress": pl.String(),  # words.SuppressionReason, or null
}
"""Events while they are taken in: with what their consequences need, which never reaches the lake."""


def normalise(records: Iterable[tuple[int, Record]]) -> tuple[list[Event], list[Rejection]]:
    """The events of (position, record) pairs, and what could not be understood of them."""
    events: list[Event] = []
    rejections: list[Rejection] = []
    for position, record in records:
        try:
            for found in _parse(record):
                if isinstance(found, Event):
                    events.append(found)
                else:
                    rejections.append(Rejection(position, *found))
        except InvalidInput as error:
            rejections.append(Rejection(position, error.message, record.body))
    return events, rejections


def _parse(record: Record) -> Iterator[Event | tuple[str, str]]:
    parser = PARSERS.get((record.provider, record.kind))
    if parser is None:
        raise InvalidInput(f"nothing reads {record.kind} of {record.provider}")
    yield from parser(record)


def to_frame(events: Sequence[Event]) -> pl.DataFrame:
    """The events as rows of SCHEMA, in their order."""
    return to_working(events).select(*SCHEMA)


def to_working(events: Sequence[Event]) -> pl.DataFrame:
    """The events as rows of WORKING, in their order."""
    fields = [name for name in WORKING if name != "network"] + ["ip"]
    schema: dict[str, pl.DataType] = {name: WORKING.get(name, pl.String()) for name in fields}
    columns = {name: [getattr(event, name) for event in events] for name in fields}
    return with_network(pl.DataFrame(columns, schema=schema, strict=True)).select(*WORKING)
