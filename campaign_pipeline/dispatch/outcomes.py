"""What a provider's answer means and what is done about it: one vocabulary for all channels.

Each provider maps its signals onto a `Kind` (a table in its own file); `VERDICTS` says once, for all of
them, what a kind is in the ledger and what happens next. The kinds are those of docs on providers, section 4.
"""

from enum import StrEnum
from typing import NamedTuple

from campaign_pipeline.core.words import Outcome, SuppressionReason


class Action(StrEnum):
    """What is done about an answer, besides recording it."""

    NONE = "none"  # nothing: the record is all
    RETRY = "retry"  # another attempt in this call, after a pause
    SPLIT = "split"  # another attempt in this call, in smaller requests
    RECONCILE = "reconcile"  # ask the provider and the events; never send again blindly
    SUPPRESS = "suppress"  # the address is not sent to any more on this channel
    FALLBACK = "fallback"  # another channel may reach the contact
    DEFER = "defer"  # a later campaign may try again; this one does not
    HALT_CAMPAIGN = "halt_campaign"  # nothing more of this run: its content is at fault
    HALT_CHANNEL = "halt_channel"  # nothing more on this channel: the account or the configuration is at fault
    HOLD_COUNTRY = "hold_country"  # nothing more to that country on this channel: the account may not


HALTING = frozenset({Action.HALT_CAMPAIGN, Action.HALT_CHANNEL})


class Kind(StrEnum):
    """The class of a provider's answer, or of its absence."""

    ACCEPTED = "accepted"  # the provider took the message and gave it an id
    NOT_CONNECTED = "not_connected"  # no connection was made: nothing can have been processed
    HELD_BACK = "held_back"  # not tried: an earlier answer to the same batch said stop
    THROTTLED = "throttled"  # too fast: later
    NO_ANSWER = "no_answer"  # the request left, but no readable answer came: it may have been processed
    CONFIG = "config"  # credentials, sender or account settings are refused
    COUNTRY = "country"  # the account may not send to the recipient's country
    WA_ACCOUNT = "wa_account"  # the WhatsApp account is restricted or not set up
    CONTENT = "content"  # what all messages share is refused: template, media, request
    BODY = "body"  # this message's own text is refused
    SCHEDULE = "schedule"  # the time of sending is not possible
    TOO_LARGE = "too_large"  # the request is too large as a whole
    HARD_ADDRESS = "hard_address"  # the address cannot receive on this channel, ever
    BAD_RECIPIENT = "bad_recipient"  # one recipient of a request is refused by its form
    HARD_PAIR = "hard_pair"  # this sender cannot reach this address
    OPTED_OUT = "opted_out"  # the contact asked the provider for silence
    SOFT = "soft"  # unreachable for now
    FILTERED = "filtered"  # a carrier or the provider took it for spam
    DELIVERY_UNKNOWN = "delivery_unknown"  # sent, and the carrier does not say what became of it
    CAPACITY = "capacity"  # a queue or a daily allowance is full
    EXPIRED = "expired"  # it lay in the provider's queue for too long
    QUIET_HOURS = "quiet_hours"  # not at this hour at the recipient's place
    NO_WHATSAPP = "no_whatsapp"  # the address is not on WhatsApp
    SESSION_CLOSED = "session_closed"  # free text is not allowed now, only a template
    META_CAP = "meta_cap"  # Meta: the contact got enough marketing
    META_LIMIT = "meta_limit"  # Meta: an experiment holds the contact back
    UNKNOWN = "unknown"  # a refusal that we do not know


class Verdict(NamedTuple):
    outcome: Outcome
    action: Action
    says: str  # in words, for people; without anything of the provider's own text, which may hold addresses


VERDICTS: dict[Kind, Verdict] = {
    Kind.ACCEPTED: Verdict(Outcome.ACCEPTED, Action.NONE, "accepted"),
    Kind.NOT_CONNECTED: Verdict(Outcome.NOT_SENT, Action.RETRY, "the provider cannot be reached"),
    Kind.HELD_BACK: Verdict(Outcome.NOT_SENT, Action.RETRY, "held back after an earlier answer"),
    Kind.THROTTLED: Verdict(Outcome.THROTTLED, Action.RETRY, "too many requests"),
    Kind.CAPACITY: Verdict(Outcome.THROTTLED, Action.RETRY, "the sender's queue or allowance is full"),
    Kind.QUIET_HOURS: Verdict(Outcome.THROTTLED, Action.RETRY, "quiet hours at the recipient's place"),
    Kind.NO_ANSWER: Verdict(Outcome.IN_DOUBT, Action.RECONCILE, "no readable answer"),
    Kind.DELIVERY_UNKNOWN: Verdict(Outcome.IN_DOUBT, Action.RECONCILE, "delivery unknown"),
    # Certainly not processed, and the same for every message: what is left can go out once it is mended.
    Kind.CONFIG: Verdict(Outcome.NOT_SENT, Action.HALT_CHANNEL, "credentials, sender or account are refused"),
    Kind.WA_ACCOUNT: Verdict(Outcome.NOT_SENT, Action.HALT_CHANNEL, "the WhatsApp account is refused"),
    Kind.COUNTRY: Verdict(Outcome.NOT_SENT, Action.HOLD_COUNTRY, "the account may not send to that country"),
    Kind.CONTENT: Verdict(Outcome.NOT_SENT, Action.HALT_CAMPAIGN, "the content or the request is refused"),
    Kind.SCHEDULE: Verdict(Outcome.NOT_SENT, Action.HALT_CAMPAIGN, "the time of sending is refused"),
    Kind.TOO_LARGE: Verdict(Outcome.NOT_SENT, Action.SPLIT, "the request is too large"),
    # For good, this message only.
    Kind.BODY: Verdict(Outcome.REJECTED, Action.HALT_CAMPAIGN, "the message's text is refused"),
    Kind.HARD_ADDRESS: Verdict(Outcome.REJECTED, Action.SUPPRESS, "the address cannot receive"),
    Kind.OPTED_OUT: Verdict(Outcome.REJECTED, Action.SUPPRESS, "the contact has opted out"),
    Kind.BAD_RECIPIENT: Verdict(Outcome.REJECTED, Action.NONE, "the recipient is refused"),
    Kind.HARD_PAIR: Verdict(Outcome.REJECTED, Action.NONE, "this sender cannot reach the address"),
    Kind.SOFT: Verdict(Outcome.REJECTED, Action.DEFER, "unreachable for now"),
    Kind.FILTERED: Verdict(Outcome.REJECTED, Action.NONE, "filtered as unwanted"),
    Kind.EXPIRED: Verdict(Outcome.EXPIRED, Action.NONE, "it lay in the provider's queue for too long"),
    Kind.NO_WHATSAPP: Verdict(Outcome.REJECTED, Action.FALLBACK, "the address is not on WhatsApp"),
    Kind.SESSION_CLOSED: Verdict(Outcome.REJECTED, Action.NONE, "only templates are allowed now"),
    Kind.META_CAP: Verdict(Outcome.REJECTED, Action.DEFER, "Meta's limit of marketing for the contact"),
    Kind.META_LIMIT: Verdict(Outcome.REJECTED, Action.DEFER, "Meta holds the contact back"),
    Kind.UNKNOWN: Verdict(Outcome.REJECTED, Action.NONE, "refused for a reason that is not known here"),
}

SUPPRESSES: dict[Kind, SuppressionReason] = {
    Kind.HARD_ADDRESS: SuppressionReason.HARD_BOUNCE,
    Kind.OPTED_OUT: SuppressionReason.OPTED_OUT,
}
"""The reason with which Action.SUPPRESS suppresses."""
