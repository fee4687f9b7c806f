"""The field's words that cross stage borders, as enums: one comment a member, no synonyms.

Values are what is written in tables, Parquet files and JSON.
"""

from enum import StrEnum


class Channel(StrEnum):
    """How a contact is reached."""

    EMAIL = "email"
    SMS = "sms"
    WHATSAPP = "whatsapp"
    WEBHOOK = "webhook"  # a system of ours that takes messages as signed JSON; addressed by external id


class ConsentState(StrEnum):
    """What a contact said about one channel and purpose; the newest entry counts."""

    PENDING = "pending"  # asked for with double opt-in, not confirmed yet: must not be sent to
    GRANTED = "granted"
    WITHDRAWN = "withdrawn"


class SuppressionReason(StrEnum):
    """Why an address must not be sent to."""

    UNSUBSCRIBED = "unsubscribed"  # used an unsubscribe link or header
    OPTED_OUT = "opted_out"  # answered STOP, or the carrier reports an opt-out
    COMPLAINED = "complained"  # reported the message as spam
    HARD_BOUNCE = "hard_bounce"  # the address does not exist
    SOFT_BOUNCE = "soft_bounce"  # the mailbox is full or the server is down: for some days only
    MANUAL = "manual"  # put there by an operator
    ERASED = "erased"  # the contact asked to be forgotten; only a keyed hash of the address is kept


class EvaluationCause(StrEnum):
    """Why it was worked out anew who is in a segment."""

    FIRST = "first"  # the first time: everybody entered, which fires no entry rule
    SCHEDULED = "scheduled"  # time passed, or contacts and events changed
    TOUCHED = "touched"  # new events of some contacts: only these were looked at
    DEFINITION_CHANGED = "definition_changed"  # the rule changed, not the contacts: fires no entry rule


class AudienceStatus(StrEnum):
    """What the freeze decided for each contact of the segment."""

    PLANNED = "planned"  # gets a message
    HELD_OUT = "held_out"  # in the campaign's holdout: deliberately not sent to
    HELD_OUT_GLOBALLY = "held_out_globally"  # in the team's global holdout: not sent to by any campaign of the purpose
    RESERVED = "reserved"  # waits for a later part of the run's roll-out, which is a run of its own
    NO_ADDRESS = "no_address"  # has no valid address for the channel
    NO_CONSENT = "no_consent"  # did not grant consent for channel and purpose
    SUPPRESSED = "suppressed"  # the address is suppressed; the reason says why
    CAPPED = "capped"  # got as many messages lately as the team allows; the reason says which cap
    DUPLICATE_ADDRESS = "duplicate_address"  # another contact of the run has the same address


HELD_OUT = (AudienceStatus.HELD_OUT, AudienceStatus.HELD_OUT_GLOBALLY)
"""Statuses of contacts who could be sent to and deliberately are not."""

KEPT_BACK = (*HELD_OUT, AudienceStatus.RESERVED)
"""The same, and those who are not sent to yet."""

COULD_BE_SENT_TO = (AudienceStatus.PLANNED, *KEPT_BACK)
"""All other statuses say why a contact is left out."""


class Outcome(StrEnum):
    """What became of one attempt to send one message, as the ledger records it."""

    ACCEPTED = "accepted"  # the provider took it
    REJECTED = "rejected"  # the provider refused it for good
    NOT_SENT = "not_sent"  # it certainly never reached the provider; may be tried again
    THROTTLED = "throttled"  # the provider said "later"; may be tried again
    IN_DOUBT = "in_doubt"  # nobody knows; never resent blindly
    SUPPRESSED = "suppressed"  # the address was suppressed after the freeze
    EXPIRED = "expired"  # its deadline passed before it was sent
    CANCELLED = "cancelled"  # the run was cancelled before it was sent
    NOT_NEEDED = "not_needed"  # a fallback that was not called for: an earlier channel reached the contact, or may have
    UNKNOWN = "unknown"  # a doubt that could not be resolved within the campaign's window


RETRYABLE = frozenset({Outcome.NOT_SENT, Outcome.THROTTLED})
"""Outcomes after which the next attempt is safe."""


class EventType(StrEnum):
    """What happened to a message after it was accepted (PROVIDERS lifecycle + engagement)."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    DEFERRED = "deferred"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    UNDELIVERED = "undelivered"  # bounced; the class says hard or soft
    FAILED = "failed"
    CANCELLED = "cancelled"
    OPENED = "opened"
    CLICKED = "clicked"
    REPLIED = "replied"
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"
    COMPLAINED = "complained"
    UNKNOWN = "unknown"  # a type we do not know: kept with its raw payload


class ConversionGoal(StrEnum):
    """What a contact does outside of messages: metrics of experiments that come from behaviour, and can be goals."""

    CONVERTED = "converted"  # did what the campaign counts as a conversion
    REVENUE = "revenue"  # the value of what it did


class RunState(StrEnum):
    """Where a campaign or one of its runs is in its life; transitions in campaigns/life_cycle.py."""

    DRAFT = "draft"  # defined, nothing is due
    SCHEDULED = "scheduled"  # due at a known time, or waiting to be picked up
    RUNNING = "running"  # its audience is being frozen, rendered or sent
    PAUSED = "paused"  # an operator holds it; nothing new is claimed
    COMPLETED = "completed"  # every planned message is accounted for
    CANCELLED = "cancelled"  # an operator ended it; what was not sent never will be
    FAILED = "failed"  # it stopped on an error; running it again takes up what is left
