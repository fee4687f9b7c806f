"""A channel, as a protocol: what the worker needs of a provider, and what it hands over.

A channel sends what it is given, once, and says for each message what became of it. It never raises for
what a provider answered or failed to answer, never retries, and never follows a redirect.
"""

from collections.abc import Collection, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, Self

from campaign_pipeline.core.words import Channel as ChannelName
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.channels.message import Message, Messages
from campaign_pipeline.dispatch.outcomes import VERDICTS, Action, Kind
from campaign_pipeline.messages.skeleton import Skeleton
from campaign_pipeline.messages.skeletons import MessageSkeleton


@dataclass(frozen=True)
class Batch:
    """Messages of one variant that are claimed together, and the skeleton that their fragments fill.

    `whole`: no message of the batch is missing here, so that one outcome can stand for all of them.
    """

    run_id: str
    campaign: str
    variant: str
    batch_no: int
    attempt: int
    skeleton: MessageSkeleton
    messages: Sequence[Message]
    step: int = 0
    pace: str = ""  # the recipients' domain, if it has a pace of its own
    window: str = ""  # the hours in which these contacts may be written to
    whole: bool = False

    @property
    def units(self) -> int:
        """What a sender's pace counts: messages, or parts of SMS."""
        return sum(self.column("parts"))

    @property
    def numbers(self) -> list[int]:
        """message_no of each."""
        return self.column("message_no")

    def column(self, field: str) -> list[Any]:
        """This field of each message."""
        return Messages.of(self.messages).column(field)

    def only(self, message_nos: Collection[int]) -> "Batch":
        """The same batch, of which the other messages were left out."""
        kept = Messages.of(self.messages).only(message_nos)
        return replace(self, messages=kept, whole=self.whole and len(kept) == len(self.messages))

    def pieces(self, size: int) -> Iterator["Batch"]:
        """The same batch in parts of at most `size` messages."""
        for start in range(0, len(self.messages), size):
            yield replace(self, messages=self.messages[start : start + size])

    def fragments(self, message: Message) -> Iterator[tuple[str, Skeleton, Sequence[str]]]:
        """(part, its skeleton, its fragments of this message), in order."""
        start = 0
        for part, skeleton in self.skeleton.parts:
            yield part, skeleton, message.fragments[start : start + skeleton.slots]
            start += skeleton.slots

    def texts(self, message: Message) -> dict[str, str]:
        """Each part of the message, assembled."""
        return self.skeleton.assemble(message.fragments)


class Result(NamedTuple):
    """What became of one message at the provider."""

    message_no: int
    kind: Kind
    code: str = ""  # the provider's error code, or our word for what happened
    provider_id: str = ""  # SID or X-Message-Id
    retry_after: float = 0.0  # seconds the provider asked us to wait

    @property
    def outcome(self) -> Outcome:
        return VERDICTS[self.kind].outcome

    @property
    def action(self) -> Action:
        return VERDICTS[self.kind].action


class Finding(StrEnum):
    """What a provider knows of an attempt in doubt."""

    FOUND = "found"  # it was processed: `provider_id` names it
    ABSENT = "absent"  # the provider shows nothing; negative evidence only, never a reason to send again
    INCONCLUSIVE = "inconclusive"  # could not be asked, or several match


class Doubt(NamedTuple):
    """One message in doubt; `batch` is the claimed one, with the attempt."""

    batch: Batch
    message: Message
    claimed_at: datetime
    until: datetime | None = None  # when the attempt was over: what the provider took later is another's


class Lookup(NamedTuple):
    message_no: int
    attempt: int
    finding: Finding
    provider_id: str = ""


@dataclass(frozen=True)
class Capabilities:
    """What a provider can do for us; unproven ones are off by default."""

    max_batch: int  # messages in one claimed batch
    lookup: bool = False  # can be asked what it knows of an attempt
    idempotent: bool = False  # takes a repeated request for the first one: a request in doubt may be repeated
    hold: bool = False  # can keep a batch back until it is released
    cancel: bool = False  # can take back what it accepted
    read_receipts: bool = False


class Channel(Protocol):
    """One provider's way to one kind of address. Safe to be called by several threads at once."""

    name: ChannelName
    provider: str  # as it stands in delivery events: sendgrid | twilio | smtp | webhook
    capabilities: Capabilities

    def send(self, batch: Batch) -> list[Result]:
        """Send every message of the batch once: one result a message, in any order."""
        ...

    def lookup(self, doubts: Sequence[Doubt], bound: Container[str]) -> list[Lookup]:
        """What the provider knows of each doubt; ids in `bound` belong to other messages."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...
