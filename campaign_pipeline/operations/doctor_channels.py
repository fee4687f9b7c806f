"""What the doctor says of the channels' settings: where each sends, and what of it would not do."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from campaign_pipeline.core.errors import CampaignError
from campaign_pipeline.core.settings import SANDBOX_SECRET, Settings, is_loopback
from campaign_pipeline.dispatch.channels.verp import require_room
from campaign_pipeline.dispatch.channels.webhook_request import signing_key


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `advice` is empty where nothing needs doing."""

    check: str
    ok: bool
    found: str
    advice: str = ""


def provider_addresses(settings: Settings) -> Mapping[str, str]:
    """Name -> URL of every provider that the settings name; the webhook only if somebody has set it."""
    found = {"Twilio": settings.twilio_base_url}
    if settings.email_provider == "smtp":
        found["mail server"] = _mail_server(settings)
    else:
        found["SendGrid"] = settings.sendgrid_base_url
    if _webhook_is_set(settings):
        found["webhook receiver"] = settings.webhook_url
    return found


def channel_settings(settings: Settings) -> Generator[Finding]:
    if settings.email_provider == "smtp":
        yield from _smtp(settings)
    if _webhook_is_set(settings):
        yield from _webhook(settings)


def _smtp(settings: Settings) -> Generator[Finding]:
    local = is_loopback(settings.smtp_host)
    if settings.smtp_security == "none" and not local:
        found = "not encrypted" + (", and the password is refused to go over it" if settings.smtp_username else "")
        yield Finding("mail encryption", False, found, "Set CAMPAIGN_SMTP_SECURITY to starttls or tls.")
    else:
        yield Finding("mail encryption", True, settings.smtp_security)
    base = settings.smtp_bounce_address or settings.email_from
    try:
        local_part, _, domain = require_room(base).rpartition("@")
    except CampaignError as error:
        yield Finding("mail bounces", False, error.message, error.hint)
        return
    if settings.smtp_relay and not _relay_is_proven(settings):
        advice = f"Set {_RELAY_KEYS[settings.smtp_relay]}."
        yield Finding(f"{settings.smtp_relay} webhook key", False, "none: its events are refused", advice)
    advice = "" if settings.smtp_bounce_address else "Set CAMPAIGN_SMTP_BOUNCE_ADDRESS to a mailbox for bounces."
    yield Finding("mail bounces", True, f"to {local_part}+TOKEN@{domain}", advice)


_RELAY_KEYS = {
    "mailgun": "CAMPAIGN_MAILGUN_SIGNING_KEY",
    "postmark": "CAMPAIGN_POSTMARK_WEBHOOK_LOGIN",
    "ses": "CAMPAIGN_SES_TOPIC_ARN and CAMPAIGN_SES_CERTIFICATE",
}


def _relay_is_proven(settings: Settings) -> bool:
    known = {
        "mailgun": settings.mailgun_signing_key.get_secret_value(),
        "postmark": settings.postmark_webhook_login.get_secret_value(),
        "ses": settings.ses_topic_arn and settings.ses_certificate,
    }
    return bool(known[settings.smtp_relay])


def _webhook(settings: Settings) -> Generator[Finding]:
    try:
        signing_key(settings.webhook_secret)
    except CampaignError as error:
        yield Finding("webhook secret", False, error.message, error.hint)
    else:
        own = settings.webhook_secret != SANDBOX_SECRET
        advice = "" if own else "Set CAMPAIGN_WEBHOOK_SECRET to the receiver's."
        yield Finding("webhook secret", own, "known" if own else "that of the sandbox", advice)
    says = "repeated under their keys" if settings.webhook_idempotent else "left in doubt"
    yield Finding("webhook doubts", True, f"requests without an answer are {says}")


def _mail_server(settings: Settings) -> str:
    host = f"[{settings.smtp_host}]" if ":" in settings.smtp_host else settings.smtp_host
    return f"smtp://{host}:{settings.smtp_port}"


def _webhook_is_set(settings: Settings) -> bool:
    return settings.webhook_url != Settings.model_fields["webhook_url"].default
