"""Is a webhook from whom it says? Refused unless proven: no key, no header and a bad signature are all refusals."""

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from campaign_pipeline.core.errors import Refused

SENDGRID_SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
SENDGRID_TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
TWILIO_SIGNATURE = "X-Twilio-Signature"

OLDEST = timedelta(hours=25)
"""SendGrid repeats a post for 24 hours; an hour on top for clocks and queues."""
NEWEST = timedelta(minutes=15)
"""How far ahead of ours the sender's clock may be."""

_MAX_FIELDS = 1000


def verify_sendgrid(public_key: str, signature: str | None, timestamp: str | None, body: bytes, now: datetime) -> None:
    """Refused unless `signature` (base64) is that of timestamp + raw body by `public_key` (base64 DER, P-256).

    ECDSA over SHA-256, as the SDK's EventWebhook does it, but over the bytes that came: decoding them first
    would refuse what is not UTF-8, and re-serialised JSON never matches.
    """
    if not public_key:
        raise Refused("no key is configured for SendGrid's event posts", "Set CAMPAIGN_SENDGRID_WEBHOOK_PUBLIC_KEY.")
    if not signature or not timestamp:
        raise Refused("the post carries no SendGrid signature", "Turn on the signed event webhook at SendGrid.")
    key = _load_key(public_key)
    try:
        key.verify(b64decode(signature, validate=True), timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):  # ValueError: not base64
        raise Refused("SendGrid's signature does not fit", "Compare the key with the one SendGrid shows.") from None
    _check_clock(timestamp, now)


@lru_cache(maxsize=8)
def _load_key(text: str) -> ec.EllipticCurvePublicKey:
    try:
        key = load_der_public_key(b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Refused(
            "CAMPAIGN_SENDGRID_WEBHOOK_PUBLIC_KEY is not a base64 P-256 public key",
            "Copy the key whole from SendGrid's Mail Settings, Event Webhook.",
        )
    return key


def _check_clock(timestamp: str, now: datetime) -> None:
    """A post from long ago is a replay. Called when the signature was good, so the timestamp is the sender's."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 11):
        raise Refused("SendGrid's timestamp is not a number of seconds")
    age = now - datetime.fromtimestamp(int(timestamp), UTC)
    if not -NEWEST <= age <= OLDEST:
        raise Refused(f"SendGrid's post is {age.total_seconds():.0f} s old", "Check this machine's clock.")


def verify_twilio(auth_token: str, url: str, signature: str | None, body: bytes) -> None:
    """Refused unless `signature` is Twilio's for `url` (the public one, query included) and `body`.

    The SDK tries the URL with and without its port. A form's fields are signed with the URL; of any other body the
    URL carries the digest, as `bodySHA256`.
    """
    if not auth_token:
        raise Refused("no auth token is configured for Twilio's callbacks", "Set CAMPAIGN_TWILIO_AUTH_TOKEN.")
    if not signature:
        raise Refused("the callback carries no Twilio signature")
    try:
        text = body.decode()
        has_digest = any(name == "bodySHA256" for name, _ in parse_qsl(urlsplit(url).query))
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:  # not UTF-8, or too many fields
        raise Refused("the callback's body cannot be read as Twilio sends it") from None
    params = text if has_digest else MultiDict(fields)
    if not RequestValidator(auth_token).validate(url, params, signature):
        raise Refused("Twilio's signature does not fit", "Check CAMPAIGN_TWILIO_AUTH_TOKEN and CAMPAIGN_PUBLIC_URL.")
