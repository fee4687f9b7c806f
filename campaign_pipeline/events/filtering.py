"""Senders whose messages carriers take for spam: most say so in an event, long after the request was accepted."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from campaign_pipeline.campaigns.sender_policy import BreakerPolicy
from campaign_pipeline.campaigns.store import load_sending_policy
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel, EventType
from campaign_pipeline.dispatch import breakers
from campaign_pipeline.dispatch.channels import provider_of, sender_of
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.events.event import Event

LAST_WORDS = frozenset({EventType.DELIVERED, EventType.UNDELIVERED, EventType.FAILED})
"""Events that say how a delivery ended."""

_FILTERED = f"{Kind.FILTERED.value}:"


def halt_filtered(connection: sa.Connection, settings: Settings, events: Sequence[Event], at: datetime) -> None:
    """Open the breaker of a sender if too many of the newest of `events`, which are taken in together, were filtered.

    What came before the breaker last changed, or longer ago than its longest pause, is no news: an inbox that is taken
    in late halts nobody.
    """
    policy, known = load_sending_policy(connection), breakers.breakers(connection)
    for channel in Channel:
        own = policy.sender(channel)
        limits = own.breaker if own else BreakerPolicy()
        subject = breakers.of_sender(sender_of(channel, settings))
        breaker = known.get(subject)
        if breaker and breaker.open:
            continue
        since = max(at - limits.longest, breaker.since) if breaker else at - limits.longest
        ended = {
            event.event_id: event
            for event in events
            if event.channel is channel
            and event.provider in _who_tells(channel, settings)
            and event.type in LAST_WORDS
            and event.received_at > since
        }
        newest = sorted(ended.values(), key=lambda event: event.received_at)[-limits.of :]
        filtered = [event.reason.removeprefix(_FILTERED) for event in newest if event.reason.startswith(_FILTERED)]
        if len(filtered) >= limits.filtered:
            breakers.trip(
                connection,
                subject,
                Kind.FILTERED,
                filtered[-1],
                said_by=provider_of(channel, settings),
                actor="events",
                at=at,
                pause=limits.pause,
                longest=limits.longest,
            )


def _who_tells(channel: Channel, settings: Settings) -> frozenset[str]:
    """The providers whose events are about what the channel sends now: over SMTP also the one whose server it is."""
    provider = provider_of(channel, settings)
    return frozenset({provider, settings.smtp_relay} if provider == "smtp" and settings.smtp_relay else {provider})
