"""What the doctor says of the channels' settings: where each sends, and what of it would not do."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from campaign_pipeline.core.errors import CampaignError
from campaign_pipeline.core.settings import SANDBOX_SECRET, Settings, is_loopback
from campaign_pipeline.dispatch.channels.verp import require_room
from campaign_pipeline.dispatch.channels.webhook_request import signing_key
from campaign_pipeline.events.sns_certificates import valid_certificates


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
    yield from _relays(settings)
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
    advice = "" if settings.smtp_bounce_address else "Set CAMPAIGN_SMTP_BOUNCE_ADDRESS to a mailbox for bounces."
    yield Finding("mail bounces", True, f"to {local_part}+TOKEN@{domain}", advice)


def _relays(settings: Settings) -> Generator[Finding]:
    """Of each provider whose server takes our e-mails, or whose events are to be taken: whether they are."""
    ses = settings.ses_topic_arn
    for name, variable, key in (
        ("mailgun", "CAMPAIGN_MAILGUN_SIGNING_KEY", settings.mailgun_signing_key.get_secret_value()),
        ("postmark", "CAMPAIGN_POSTMARK_WEBHOOK_LOGIN", settings.postmark_webhook_login.get_secret_value()),
        ("ses", "CAMPAIGN_SES_TOPIC_ARN", ses),
    ):
        if key:
            yield Finding(f"{name} webhook key", True, "known")
        elif settings.smtp_relay == name and settings.email_provider == "smtp":
            yield Finding(f"{name} webhook key", False, "none: its events are refused", f"Set {variable}.")
    if not ses:
        return
    try:
        ends = max(each.not_valid_after_utc for each in valid_certificates(settings.ses_certificates, settings.clock()))
    except CampaignError as error:
        yield Finding("SNS certificate", False, error.message, error.hint)
    else:
        yield Finding("SNS certificate", True, f"valid until {ends:%Y-%m-%d}")


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
