"""The team's sending policy: how fast each channel's sender goes, and how often a contact hears from us."""

from pydantic import Field

from campaign_pipeline.campaigns.definition import Duration
from campaign_pipeline.campaigns.quiet_hours import QuietHoursPolicy
from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.core.words import Channel


class WarmUp(Definition):
    """A new sender earns its reputation: how much it may send on its first, second ... day."""

    daily: tuple[int, ...] = Field(description="Units of each day from the first; afterwards there is no ceiling.")


class DomainPolicy(Definition):
    """What one recipient domain takes."""

    rate: float | None = Field(None, gt=0, description="Messages a second.")
    daily: int | None = Field(None, ge=1, description="Messages a day.")


class SenderPolicy(Definition):
    """The pace of a channel's sender. Units are messages, for SMS parts."""

    rate: float | None = Field(None, gt=0, description="Units a second; absent: as fast as the provider takes them.")
    burst: int = Field(1, ge=1, description="Units that may go at once after a pause.")
    warm_up: WarmUp | None = None
    domains: dict[str, DomainPolicy] = Field(default_factory=dict)


class Cap(Definition):
    """At most so many messages to one contact, over all campaigns."""

    at_most: int = Field(ge=1)
    within: Duration
    channel: Channel | None = Field(None, description="Absent: messages of all channels count together.")
    purposes: tuple[str, ...] = Field((), description="Empty: messages of every purpose.")


class SendingPolicy(Definition):
    senders: dict[Channel, SenderPolicy] = Field(default_factory=dict)
    caps: tuple[Cap, ...] = ()
    quiet_hours: QuietHoursPolicy = Field(default_factory=QuietHoursPolicy)
