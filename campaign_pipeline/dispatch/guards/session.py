"""WhatsApp's conversations: free text goes out within 24 hours of the contact's last message, or not at all.

Source: Twilio, WhatsApp messaging and the 24-hour window; outside of it the answer is error 63016.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.tables import conversations
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch.channels.base import Batch
from campaign_pipeline.dispatch.guards.base import CLEAR, Guard, LeftOut, Permit

SESSION = timedelta(hours=24)

MARGIN = timedelta(minutes=5)
"""How long before its end a window counts as closed: for the way of the contact's message to us, and of ours there."""

CODE = "session_closed"


def is_free_text(batch: Batch) -> bool:
    """Of a WhatsApp batch: whether its messages are free text, not an approved content template."""
    return all(part != "content_sid" for part, _ in batch.skeleton.parts)


class InSession(Guard):
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def look(self, batch: Batch, now: datetime) -> Permit:
        if not is_free_text(batch):
            return CLEAR
        query = sa.select(conversations.c.address).where(
            conversations.c.channel == Channel.WHATSAPP.value,
            conversations.c.address.in_(batch.column("address")),
            conversations.c.last_inbound_at > now - SESSION + MARGIN,
        )
        with reading(self._engine) as connection:
            writing_to_us = set(connection.execute(query).scalars())
        closed = (message.message_no for message in batch.messages if message.address not in writing_to_us)
        return Permit(left_out=tuple(LeftOut(number, Outcome.SUPPRESSED, CODE) for number in closed))
