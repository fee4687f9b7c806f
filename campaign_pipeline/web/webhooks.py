"""The webhooks that the receiver takes: path -> provider, kind of record, verifier, largest body and answer.

A provider is one line of `WEBHOOKS`, and a parser for the same (provider, kind) in events/normalise.PARSERS.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.relay_verification import verify_mailgun, verify_postmark, verify_ses
from campaign_pipeline.events.verification import (
    SENDGRID_SIGNATURE,
    SENDGRID_TIMESTAMP,
    TWILIO_SIGNATURE,
    verify_sendgrid,
    verify_twilio,
)

TWILIO_BYTES = 64 * 2**10
"""One message a callback."""

Verify = Callable[[Mapping[str, str], str, bytes, Settings], None]
"""`verify(headers, url, body, settings)` returns nothing, or raises: Refused (403) for what is not proven to be the
provider's, InvalidInput (400) for what the provider never sends. `headers` know no case, `url` is the public one with
its query, `body` the bytes as they came."""


class Answer(NamedTuple):
    status: HTTPStatus
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Webhook(NamedTuple):
    """`most_bytes`: the largest body; 0: as CAMPAIGN_RECEIVER_MAX_BYTES says, which bounds the others too."""

    provider: str
    kind: str
    verify: Verify
    answer: Answer
    most_bytes: int = 0


OK = Answer(HTTPStatus.OK)
ACCEPTED = Answer(HTTPStatus.ACCEPTED)
NO_CONTENT = Answer(HTTPStatus.NO_CONTENT)
EMPTY_TWIML = Answer(
    HTTPStatus.OK,
    b'<?xml version="1.0" encoding="UTF-8"?><Response/>',  # Twilio answers the contact with nothing
    ((b"content-type", b"text/xml; charset=utf-8"),),
)


def sendgrid(headers: Mapping[str, str], _url: str, body: bytes, settings: Settings) -> None:
    signature, timestamp = headers.get(SENDGRID_SIGNATURE), headers.get(SENDGRID_TIMESTAMP)
    verify_sendgrid(settings.sendgrid_public_key, signature, timestamp, body, settings.clock())


def twilio(headers: Mapping[str, str], url: str, body: bytes, settings: Settings) -> None:
    verify_twilio(settings.twilio_auth_token.get_secret_value(), url, headers.get(TWILIO_SIGNATURE), body)


def mailgun(_headers: Mapping[str, str], _url: str, body: bytes, settings: Settings) -> None:
    verify_mailgun(settings.mailgun_signing_key, body, settings.clock())


def postmark(headers: Mapping[str, str], _url: str, _body: bytes, settings: Settings) -> None:
    verify_postmark(settings.postmark_webhook_login, headers.get("Authorization"))


def ses(_headers: Mapping[str, str], _url: str, body: bytes, settings: Settings) -> None:
    verify_ses(settings.ses_topic_arn, settings.ses_certificates, body, settings.clock())


WEBHOOKS: Mapping[str, Webhook] = {
    "/webhooks/sendgrid": Webhook("sendgrid", "events", sendgrid, ACCEPTED),
    "/webhooks/twilio/status": Webhook("twilio", "status", twilio, NO_CONTENT, TWILIO_BYTES),
    "/webhooks/twilio/inbound": Webhook("twilio", "inbound", twilio, EMPTY_TWIML, TWILIO_BYTES),
    "/webhooks/mailgun": Webhook("mailgun", "events", mailgun, OK),
    "/webhooks/postmark": Webhook("postmark", "events", postmark, OK),
    "/webhooks/ses": Webhook("ses", "events", ses, OK),
}
