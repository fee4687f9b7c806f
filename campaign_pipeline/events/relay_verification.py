"""Are posts of Mailgun, Postmark and Amazon SES from whom they say? Refused unless proven, as in verification.py."""

import hmac
from base64 import b64decode
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.events.providers.fields import Fields, from_seconds, inner, json_object, text
from campaign_pipeline.events.sns_certificates import is_certificate_url, keys_of, valid_certificates
from campaign_pipeline.events.verification import NEWEST, OLDEST


def verify_mailgun(key: SecretStr, body: bytes, now: datetime) -> None:
    """Refused unless the post carries HMAC-SHA256(key, timestamp + token), of a time that is not long ago.

    That is all that Mailgun signs: not the event. So the URL is a secret as well, and goes over TLS only.
    """
    if not key.get_secret_value():
        raise Refused("no key is configured for Mailgun's posts", "Set CAMPAIGN_MAILGUN_SIGNING_KEY.")
    signed = _mailgun_signature(body)
    timestamp, token, signature = (text(signed, name) for name in ("timestamp", "token", "signature"))
    expected = hmac.new(key.get_secret_value().encode(), f"{timestamp}{token}".encode(), sha256).hexdigest()
    if not signature or not hmac.compare_digest(expected.encode(), signature.encode()):
        raise Refused("Mailgun's signature does not fit", "Compare CAMPAIGN_MAILGUN_SIGNING_KEY with Mailgun's.")
    try:
        age = now - from_seconds(timestamp)
    except InvalidInput as error:
        raise Refused(f"Mailgun's post: {error.message}") from None
    if not -NEWEST <= age <= OLDEST:
        raise Refused(f"Mailgun's post is {age.total_seconds():.0f} s old", "Check this machine's clock.")


def _mailgun_signature(body: bytes) -> Fields:
    try:
        written = body.decode()
        if written.lstrip().startswith("{"):
            return inner(json_object(written, "the body"), "signature")
        return dict(parse_qsl(written, max_num_fields=1000))
    except (ValueError, InvalidInput):  # not UTF-8, or too many fields
        raise Refused("the post's body cannot be read as Mailgun sends it") from None


def verify_postmark(login: SecretStr, authorization: str | None) -> None:
    """Refused unless the request has `login` (NAME:PASSWORD) as its basic authentication. Postmark signs nothing."""
    wanted = login.get_secret_value()
    if ":" not in wanted:
        advice = "Set CAMPAIGN_POSTMARK_WEBHOOK_LOGIN to NAME:PASSWORD, and give both in the URL at Postmark."
        raise Refused("no login is configured for Postmark's posts", advice)
    scheme, _, given = (authorization or "").partition(" ")
    try:
        known = b64decode(given.strip(), validate=True)
    except ValueError:
        known = b""
    if scheme.lower() != "basic" or not hmac.compare_digest(known, wanted.encode()):
        raise Refused("the post does not have Postmark's login", "Compare the URL at Postmark with the setting.")


SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""Fields that SNS signs, in their order, by type; those that are absent are left out."""

_HASHES = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303  (SignatureVersion 1 is SNS' own default)


def verify_ses(topic: str, certificates: Path, body: bytes, now: datetime) -> None:
    """Refused unless SNS signed the envelope for `topic`, by a key of the file `certificates` (sns_certificates.py).

    Source: Amazon SNS, Verifying the signatures of Amazon SNS messages.
    """
    if not topic:
        raise Refused("no topic is configured for Amazon SES", "Set CAMPAIGN_SES_TOPIC_ARN.")
    try:
        envelope = json_object(body.decode(), "the body")
        signature = b64decode(text(envelope, "Signature"), validate=True)
    except (ValueError, InvalidInput):
        raise Refused("the post's body cannot be read as SNS sends it") from None
    if text(envelope, "TopicArn") != topic:
        raise Refused("the post is of another SNS topic", "Compare CAMPAIGN_SES_TOPIC_ARN with the topic's.")
    names, digest = SIGNED.get(text(envelope, "Type")), _HASHES.get(text(envelope, "SignatureVersion"))
    if names is None or digest is None:
        raise Refused("the post's type or signature version is none of SNS'")
    url = text(envelope, "SigningCertURL")
    if not is_certificate_url(url):
        raise Refused("the post's SigningCertURL is none of SNS'")
    get = f"Download {url} and keep it: campaigns events certificate FILE"
    try:
        keys = keys_of(valid_certificates(certificates, now))
    except Refused as error:
        raise Refused(error.message, get) from None
    signed = "".join(f"{name}\n{text(envelope, name)}\n" for name in names if name in envelope).encode()
    if not any(_signed_by(key, signature, signed, digest) for key in keys):
        raise Refused("SNS' signature does not fit", f"If SNS has a new certificate: {get}")


def _signed_by(key: rsa.RSAPublicKey, signature: bytes, signed: bytes, digest: hashes.HashAlgorithm) -> bool:
    try:
        key.verify(signature, signed, padding.PKCS1v15(), digest)
    except InvalidSignature:
        return False
    return True
