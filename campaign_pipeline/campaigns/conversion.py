"""What a campaign counts as a conversion, and how one is shared among the messages that touched the contact."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from campaign_pipeline.campaigns.durations import Duration
from campaign_pipeline.campaigns.windows import LONGEST_WAIT
from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.core.words import Channel

Touch = Literal["clicked", "opened", "delivered", "sent"]
Model = Literal["last_touch", "first_touch", "linear"]

DEFAULT_TOUCH: dict[Channel, Touch] = {
    Channel.EMAIL: "clicked",
    Channel.SMS: "delivered",
    Channel.WHATSAPP: "delivered",
    Channel.WEBHOOK: "sent",
}
"""The strongest sign of a contact's attention that each channel reports of most messages."""

SEND_SPREAD = LONGEST_WAIT + timedelta(days=2)
"""How long after a run's time its last message can be due: local times, then quiet hours."""


class Conversion(Definition):
    """What counts, for how long, and who gets the credit; see docs/analytics.md."""

    event: str = Field("purchase", min_length=1, max_length=100, description="Name of the behavioural event.")
    value: str = Field(
        "amount", max_length=100, description='Its property that is the value, a number; "": it has none.'
    )
    within: Duration = Field(
        timedelta(days=7), description="How long after its start (send time) a contact's events count."
    )
    touch: Touch | None = Field(None, description="What makes a message touch its contact; absent: by the channel.")
    model: Model = Field("last_touch", description="Which of the messages that touched gets the credit.")

    def touch_of(self, channel: Channel) -> Touch:
        return self.touch or DEFAULT_TOUCH[channel]

    @property
    def value_pointer(self) -> str | None:
        """The value's place in the JSON of an event's properties."""
        return "/" + self.value.replace("~", "~0").replace("/", "~1") if self.value else None
