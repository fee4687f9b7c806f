"""One normalised event, on its way from a provider's payload to the lake and to its consequences."""

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from campaign_pipeline.core.ids import RUN_ID
from campaign_pipeline.core.words import Channel, EventType, SuppressionReason

MESSAGE_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(slots=True)
class Event:
    """What happened to a message. `run_id` and `message_id` are '' when it cannot be told which message that is.

    `address`, `attempt`, `suppress` and `lifts` serve the consequences and never reach the lake; of `ip`, its network.
    """

    provider: str
    channel: Channel
    type: EventType
    raw_type: str
    occurred_at: datetime
    received_at: datetime
    identity: tuple[str, ...]  # what makes it this event: the same for every delivery of it, different for any other
    run_id: str = ""
    message_id: str = ""
    provider_id: str = ""  # as the ledger knows the send: X-Message-Id, or the message's SID
    reason: str = ""  # class:code of a failure (hard, soft ...), keyword class of a reply
    url: str | None = None
    machine: bool = False  # the payload itself says so; all other rules are those of machines.py
    attempt: int | None = None  # of the send; None: the payload does not say
    address: str = ""  # of the contact, as the payload writes it
    suppress: SuppressionReason | None = None
    lifts: bool = False  # the contact asks to hear from us again
    user_agent: str | None = None  # of what opened or clicked
    ip: str | None = None  # likewise
    event_id: str = ""  # of `identity`, unless it is known already

    def __post_init__(self) -> None:
        self.event_id = self.event_id or event_digest(self.provider, *self.identity)


def event_digest(*parts: str) -> str:
    """24 hex digits of SHA-256 over the parts, each behind its length in characters: what SQL can compute as well."""
    return sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()[:24]


def message_key(run_id: object, message_id: object) -> tuple[str, str]:
    """(run_id, message_id) when both are written as ours are, else ('', ''): they name partitions and files."""
    if not (isinstance(run_id, str) and isinstance(message_id, str)):
        return "", ""
    ours = RUN_ID.fullmatch(run_id) and MESSAGE_ID.fullmatch(message_id)
    return (run_id, message_id) if ours else ("", "")


def attempt_number(value: object) -> int | None:
    """The number of a send attempt (from 1), as it came back from a provider; None if it is not one."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= 1 else None
