"""Channels: one file a provider, behind one protocol (base.py). docs/adding-a-channel.md is the recipe."""

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel as ChannelName
from campaign_pipeline.dispatch.channels.base import Channel


def provider_of(name: ChannelName, settings: Settings) -> str:
    """Through whom the channel sends: the provider of what `open_channel` opens."""
    match name:
        case ChannelName.EMAIL:
            return settings.email_provider
        case ChannelName.WEBHOOK:
            return "webhook"
        case ChannelName.SMS | ChannelName.WHATSAPP:
            return "twilio"


def sender_of(name: ChannelName, settings: Settings) -> str:
    """Who sends on the channel, as pace, ceilings and breakers know it: the provider, and our address there."""
    own = {
        ChannelName.EMAIL: settings.email_from,
        ChannelName.SMS: settings.twilio_from,
        ChannelName.WHATSAPP: settings.whatsapp_from,
    }
    return f"{provider_of(name, settings)}:{own.get(name, name.value)}"


def open_channel(name: ChannelName, settings: Settings, *, tracks_clicks: bool = True) -> Channel:
    """The channel, ready to send, as a context manager. Refused: its URL is not loopback and live sending is off.

    `tracks_clicks`: whether the provider may lead links through itself, if the account is set so.
    """
    match name:  # the SDKs take a second to import: only who sends pays for it
        case ChannelName.EMAIL if settings.email_provider == "smtp":
            from campaign_pipeline.dispatch.channels.smtp import Smtp

            return Smtp(settings)
        case ChannelName.EMAIL:
            from campaign_pipeline.dispatch.channels.sendgrid import SendGrid

            return SendGrid(settings, tracks_clicks=tracks_clicks)
        case ChannelName.WEBHOOK:
            from campaign_pipeline.dispatch.channels.webhook import Webhook

            return Webhook(settings)
        case ChannelName.SMS | ChannelName.WHATSAPP:
            from campaign_pipeline.dispatch.channels.twilio import Twilio

            return Twilio(name, settings)


def claimed_together(name: ChannelName, settings: Settings) -> int:
    """Messages in one batch of the channel: what is in doubt together when a worker dies, or an answer is lost."""
    match name:
        case ChannelName.EMAIL:
            return settings.smtp_batch_size if settings.email_provider == "smtp" else settings.sendgrid_batch_size
        case ChannelName.WEBHOOK:
            return settings.webhook_batch_size
        case ChannelName.SMS | ChannelName.WHATSAPP:
            return settings.twilio_batch_size
