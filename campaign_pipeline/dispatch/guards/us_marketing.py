"""No marketing by approved templates to WhatsApp numbers of the United States: another channel may reach them."""

from datetime import datetime

from campaign_pipeline.contacts.numbering import US_MARKETING, is_us
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.channels.base import Batch
from campaign_pipeline.dispatch.guards.base import CLEAR, Guard, LeftOut, Permit
from campaign_pipeline.dispatch.guards.session import is_free_text


class NoMarketingToUs(Guard):
    def look(self, batch: Batch, now: datetime) -> Permit:
        if is_free_text(batch):  # an answer to the contact, not a template
            return CLEAR
        found = (message.message_no for message in batch.messages if is_us(message.address))
        return Permit(left_out=tuple(LeftOut(number, Outcome.SUPPRESSED, US_MARKETING) for number in found))
