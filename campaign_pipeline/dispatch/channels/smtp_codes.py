"""What SMTP servers answer, as kinds: by enhanced status code (RFC 3463) where there is one, else by reply (RFC 5321).

A reply is the whole answer to one message: what was refused was certainly not taken, at whatever stage.
"""

import re
from enum import StrEnum

from campaign_pipeline.dispatch.outcomes import Kind


class Stage(StrEnum):
    """What was answered."""

    CONNECT = "connect"  # the greeting, TLS, signing in
    SENDER = "sender"  # MAIL
    RECIPIENT = "recipient"  # RCPT
    CONTENT = "content"  # DATA, before or after the message


ENHANCED: dict[str, Kind] = {
    # The recipient's address. 5.1.0 and 5.1.4 do not say that it is wrong: not a reason to suppress it.
    "5.1.1": Kind.HARD_ADDRESS,  # no such mailbox
    "5.1.2": Kind.HARD_ADDRESS,  # no such domain
    "5.1.3": Kind.HARD_ADDRESS,  # its form
    "5.1.6": Kind.HARD_ADDRESS,  # moved
    "5.1.10": Kind.HARD_ADDRESS,  # the domain takes no mail at all (RFC 7505)
    "5.1.7": Kind.CONFIG,  # our sender's form
    "5.1.8": Kind.CONFIG,  # our sender's domain
    # The mailbox.
    "5.2.0": Kind.SOFT,
    "5.2.1": Kind.HARD_ADDRESS,  # disabled
    "5.2.2": Kind.SOFT,  # full
    "4.2.1": Kind.SOFT,
    "4.2.2": Kind.SOFT,
    # The server and the way to it.
    "5.3.2": Kind.SOFT,
    "5.3.4": Kind.BODY,  # too large
    "5.3.5": Kind.SOFT,
    "4.3.0": Kind.CAPACITY,
    "4.3.1": Kind.CAPACITY,
    "4.3.2": Kind.CAPACITY,
    "5.4.1": Kind.SOFT,
    "5.4.4": Kind.SOFT,
    # Policy. What is about us is the same for every message.
    "5.7.0": Kind.FILTERED,
    "5.7.1": Kind.FILTERED,
    "5.7.2": Kind.FILTERED,
    "5.7.8": Kind.CONFIG,  # credentials
    "5.7.9": Kind.CONFIG,
    "5.7.10": Kind.CONFIG,  # encryption is wanted
    "5.7.11": Kind.CONFIG,
    "5.7.13": Kind.CONFIG,  # the account is disabled
    "5.7.14": Kind.CONFIG,
    "5.7.17": Kind.HARD_ADDRESS,  # the mailbox has another owner (RFC 7293)
    "5.7.18": Kind.HARD_ADDRESS,
    "5.7.20": Kind.CONFIG,  # DKIM (RFC 7372), and so on: SPF, reverse name, more than one of these, no MX
    "5.7.21": Kind.CONFIG,
    "5.7.22": Kind.CONFIG,
    "5.7.23": Kind.CONFIG,
    "5.7.24": Kind.CONFIG,
    "5.7.25": Kind.CONFIG,
    "5.7.26": Kind.CONFIG,
    "5.7.27": Kind.CONFIG,
}

SUBJECTS: dict[str, Kind] = {
    "5.1": Kind.BAD_RECIPIENT,
    "5.2": Kind.SOFT,
    "5.4": Kind.SOFT,
    "5.6": Kind.BODY,
    "5.7": Kind.FILTERED,
}
"""For details that are not in ENHANCED."""

REPLIES: dict[int, Kind] = {
    421: Kind.THROTTLED,  # the server closes the connection
    452: Kind.CAPACITY,
    550: Kind.BAD_RECIPIENT,  # "not found, no access, or policy": not enough to suppress an address
    551: Kind.BAD_RECIPIENT,
    552: Kind.SOFT,
    553: Kind.BAD_RECIPIENT,
    554: Kind.FILTERED,
}

SIGNING_IN = frozenset({530, 534, 535, 538})
"""Replies about who we are (RFC 4954), whatever they answer and whatever their enhanced code."""

_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
_RELAY = re.compile(r"\brelay", re.IGNORECASE)
_QUEUED = re.compile(
    r"""queued\ as\ ([\w.-]{1,64})            # Postfix
    |\bid=([\w.-]{1,64})                      # Exim
    |\bInternalId=(\d{1,32})                  # Exchange
    |^2\.0\.0\ ([\w.-]{1,64})\ Message\ accep # sendmail
    |^Ok\ ([\w-]{20,80})$                     # Amazon SES
    """,
    re.VERBOSE | re.IGNORECASE,
)


def kind_of(stage: Stage, code: int, text: str) -> Kind:
    """The kind of a reply; `text` is what follows its code. Unknown refusals are for good, unknown answers a doubt."""
    if 400 <= code < 500:
        kind = _temporary(code, text)
        # Of a mailbox it is about this one; of the connection or of our sender it is the same for all.
        return kind if stage in (Stage.RECIPIENT, Stage.CONTENT) else Kind.THROTTLED
    if 500 <= code < 600:
        ours = stage in (Stage.CONNECT, Stage.SENDER) or code in SIGNING_IN
        return Kind.CONFIG if ours else _permanent(stage, code, text)
    return Kind.ACCEPTED if stage == Stage.CONTENT and code == 250 else Kind.NO_ANSWER


def code_of(code: int, text: str) -> str:
    """`smtp_550_5.1.1`: what is kept of a reply, whose text may hold addresses."""
    enhanced = enhanced_status(text)
    return f"smtp_{code}_{enhanced}" if enhanced else f"smtp_{code}"


def enhanced_status(text: str) -> str:
    """`5.1.1`; empty if the reply has none."""
    found = _ENHANCED.match(text)
    return found[1] if found else ""


def queue_id(text: str) -> str:
    """What the server calls a message that it took, if the reply says so."""
    found = _QUEUED.search(text)
    return next(filter(None, found.groups())) if found else ""


def _temporary(code: int, text: str) -> Kind:
    return ENHANCED.get(enhanced_status(text)) or REPLIES.get(code, Kind.THROTTLED)


def _permanent(stage: Stage, code: int, text: str) -> Kind:
    enhanced = enhanced_status(text)
    if stage == Stage.RECIPIENT and (not enhanced or enhanced.startswith("5.7.")) and _RELAY.search(text):
        return Kind.CONFIG  # the server does not send on for us, whoever the recipient is
    by_enhanced = ENHANCED.get(enhanced) or SUBJECTS.get(enhanced.rpartition(".")[0])
    if stage == Stage.CONTENT and not by_enhanced:
        return {552: Kind.BODY, 550: Kind.FILTERED, 554: Kind.FILTERED}.get(code) or REPLIES.get(code, Kind.UNKNOWN)
    return by_enhanced or REPLIES.get(code, Kind.UNKNOWN)
