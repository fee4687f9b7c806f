"""Channels: one file a provider, behind one protocol (base.py). docs/adding-a-channel.md is the recipe."""

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel as ChannelName
from campaign_pipeline.dispatch.channels.base import Channel


def provider_of(name: ChannelName, settings: Settings) -> str:  # noqa: ARG001  (chosen as open_channel chooses)
    """Through whom the channel sends: the provider of what `open_channel` opens."""
    return "sendgrid" if name == ChannelName.EMAIL else "twilio"


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
    if name == ChannelName.EMAIL:  # the SDKs take a second to import: only who sends pays for it
        from campaign_pipeline.dispatch.channels.sendgrid import SendGrid

        return SendGrid(settings, tracks_clicks=tracks_clicks)
    from campaign_pipeline.dispatch.channels.twilio import Twilio

    return Twilio(name, settings)
