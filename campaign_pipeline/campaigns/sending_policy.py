"""The team's sending policy: how fast each channel's sender goes, and how often a contact hears from us."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from campaign_pipeline.campaigns.definition import Duration
from campaign_pipeline.campaigns.quiet_hours import QuietHoursPolicy
from campaign_pipeline.campaigns.sender_policy import SenderPolicy
from campaign_pipeline.core.definitions import Definition, Location, read_definition, read_yaml
from campaign_pipeline.core.errors import InvalidDefinition
from campaign_pipeline.core.words import Channel


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

    def sender(self, channel: Channel) -> SenderPolicy | None:
        """None: as fast as the provider takes it."""
        return self.senders.get(channel)


def read_sending_policy(file: Path) -> SendingPolicy:
    """The policy in `file`; InvalidDefinition also for what does not fit its channel."""
    policy = read_definition(file, SendingPolicy)
    for place, problem in _misfits(policy):
        raise InvalidDefinition(file, read_yaml(file)[1].get(place, 0), ".".join(map(str, place)), problem)
    return policy


def _misfits(policy: SendingPolicy) -> Iterator[tuple[Location, str]]:
    for channel, sender in policy.senders.items():
        place = ("senders", channel.value)
        if sender.domains and channel is not Channel.EMAIL:
            yield (*place, "domains"), f"only e-mail goes to domains, not {channel}"
        rates = {(*place, "rate"): sender.rate}
        rates |= {(*place, "domains", name, "rate"): domain.rate for name, domain in sender.domains.items()}
        for at, rate in rates.items():
            if rate and "parts" in rate and channel is not Channel.SMS:
                yield at, f"only SMS have parts (it is {rate!r})"
            if rate and "messages" in rate and channel is Channel.SMS:
                yield at, f"SMS are counted in parts (it is {rate!r})"
