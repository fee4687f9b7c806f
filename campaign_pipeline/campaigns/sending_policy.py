"""The team's sending policy: how fast each channel's sender goes, and how often a contact hears from us."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from campaign_pipeline.campaigns.definition import Duration
from campaign_pipeline.campaigns.sender_policy import SenderPolicy
from campaign_pipeline.core.definitions import Definition, read_definition
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

    @model_validator(mode="after")
    def _fits_the_channels(self) -> Self:
        for channel, sender in self.senders.items():
            if sender.domains and channel is not Channel.EMAIL:
                raise ValueError(f"senders.{channel}.domains: only e-mail goes to domains")
            for rate in (sender.rate, *(domain.rate for domain in sender.domains.values())):
                if rate and "parts" in rate and channel is not Channel.SMS:
                    raise ValueError(f"senders.{channel}.rate: only SMS have parts, not {rate!r}")
                if rate and "messages" in rate and channel is Channel.SMS:
                    raise ValueError(f"senders.{channel}.rate: SMS are counted in parts, not {rate!r}")
        return self

    def sender(self, channel: Channel) -> SenderPolicy | None:
        """None: as fast as the provider takes it."""
        return self.senders.get(channel)


def read_sending_policy(file: Path) -> SendingPolicy:
    return read_definition(file, SendingPolicy)
