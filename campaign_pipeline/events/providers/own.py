"""Our own pages and redirect. The receiver checked the link's signature and kept what it names."""

from collections.abc import Iterator

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel, ConsentState, EventType, SuppressionReason
from campaign_pipeline.events.confirmations import named_consent
from campaign_pipeline.events.event import Event, message_key
from campaign_pipeline.events.preferences import KIND, chosen
from campaign_pipeline.events.record import Record
from campaign_pipeline.messages.clicks import is_web


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


def click_events(record: Record) -> Iterator[Event]:
    """One event a request of our redirect, with its user agent for the rules that class machines.

    A HEAD request and what calls itself a prefetch or a preview are machines.
    """
    run_id, message_id = message_key(record.query.get("run_id"), record.query.get("message_id"))
    url, purpose = record.query.get("url", ""), record.query.get("purpose", "").lower()
    if not message_id or not is_web(url):
        raise InvalidInput("the click names no message or no target")
    yield Event(
        provider="own",
        channel=Channel.EMAIL,
        type=EventType.CLICKED,
        raw_type="click",
        occurred_at=record.received_at,
        received_at=record.received_at,
        identity=("click", run_id, message_id, url, record.received_at.isoformat()),
        run_id=run_id,
        message_id=message_id,
        url=url,
        machine=record.query.get("method") == "HEAD" or "prefetch" in purpose or "preview" in purpose,
        user_agent=record.query.get("user_agent") or None,
        ip=record.query.get("ip") or None,
    )


def preference_events(record: Record) -> Iterator[Event]:
    """One event a choice: an unsubscription as soon as it withdraws something. The consent is preferences.py's."""
    run_id, message_id = message_key(record.query.get("run_id"), record.query.get("message_id"))
    if not message_id:
        raise InvalidInput("the preferences name no message")
    withdraws = any(each.state is ConsentState.WITHDRAWN for each in chosen(record))
    yield Event(
        provider="own",
        channel=Channel.EMAIL,
        type=EventType.UNSUBSCRIBED if withdraws else EventType.RESUBSCRIBED,
        raw_type=KIND,
        occurred_at=record.received_at,
        received_at=record.received_at,
        identity=(KIND, run_id, message_id, record.received_at.isoformat()),
        run_id=run_id,
        message_id=message_id,
    )


def confirmation(record: Record) -> Iterator[Event]:
    """No event, because it is about no message: confirmations.py takes it. InvalidInput if it cannot."""
    named_consent(record)
    return iter(())
