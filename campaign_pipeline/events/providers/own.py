"""Our own pages. The receiver checked the link's signature and kept what it names."""

from collections.abc import Iterator

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel, EventType, SuppressionReason
from campaign_pipeline.events.confirmations import named_consent
from campaign_pipeline.events.event import Event, message_key
from campaign_pipeline.events.record import Record


def unsubscribe_events(record: Record) -> Iterator[Event]:
    """One event a request, without an address: that is the message's, as is the channel (attribution.py)."""
    run_id, message_id = message_key(record.query.get("run_id"), record.query.get("message_id"))
    if not message_id:
        raise InvalidInput("the unsubscription names no message")
    yield Event(
        provider="own",
        channel=Channel.EMAIL,
        type=EventType.UNSUBSCRIBED,
        raw_type="unsubscribe",
        occurred_at=record.received_at,
        received_at=record.received_at,
        # With the time: whoever subscribed again in between must be heard when using the old link a second time.
        identity=("unsubscribe", run_id, message_id, record.received_at.isoformat()),
        run_id=run_id,
        message_id=message_id,
        suppress=SuppressionReason.UNSUBSCRIBED,
    )


def confirmation(record: Record) -> Iterator[Event]:
    """No event, because it is about no message: confirmations.py takes it. InvalidInput if it cannot."""
    named_consent(record)
    return iter(())
