"""Signatures: the providers' own vectors, and everything that must be refused."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.verification import (
    NEWEST,
    OLDEST,
    verify_sendgrid,
    verify_twilio,
)

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
KEY = ec.derive_private_key(12345, ec.SECP256R1())


def public_text(key: ec.EllipticCurvePrivateKey = KEY) -> str:
    return b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def signed(body: bytes, at: datetime = NOW) -> tuple[str, str]:
    timestamp = str(int(at.timestamp()))
    signature = KEY.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return b64encode(signature).decode(), timestamp


@given(st.binary(max_size=200))
def test_any_bytes_that_were_signed_are_accepted_and_others_are_not(body: bytes) -> None:
    signature, timestamp = signed(body)
    verify_sendgrid(public_text(), signature, timestamp, body, NOW)
    with pytest.raises(Refused, match="does not fit"):
        verify_sendgrid(public_text(), signature, timestamp, body + b" ", NOW)


def test_the_timestamp_is_signed_too() -> None:
    signature, timestamp = signed(b"[]")
    with pytest.raises(Refused, match="does not fit"):
        verify_sendgrid(public_text(), signature, str(int(timestamp) + 1), b"[]", NOW)


def test_a_post_that_was_retried_for_24_hours_is_accepted_and_an_older_one_is_not() -> None:
    for age in (timedelta(hours=24), -NEWEST, OLDEST):
        verify_sendgrid(public_text(), *signed(b"[]", NOW - age), b"[]", NOW)
    for age in (OLDEST + timedelta(seconds=1), -NEWEST - timedelta(seconds=1)):
        with pytest.raises(Refused, match="s old"):
            verify_sendgrid(public_text(), *signed(b"[]", NOW - age), b"[]", NOW)


@pytest.mark.parametrize("timestamp", ["soon", "١٢", "1" * 40, "-1", "1e9"])
def test_a_signed_timestamp_that_is_no_number_is_refused(timestamp: str) -> None:
    signature = b64encode(KEY.sign(timestamp.encode() + b"[]", ec.ECDSA(hashes.SHA256()))).decode()
    with pytest.raises(Refused, match="number of seconds"):
        verify_sendgrid(public_text(), signature, timestamp, b"[]", NOW)


@pytest.mark.parametrize("signature", ["", None, "!!!", "é", "AAAA", "MEUCIGHQ"])
def test_a_missing_or_malformed_sendgrid_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(Refused):
        verify_sendgrid(public_text(), signature, signed(b"[]")[1], b"[]", NOW)


def test_a_post_without_timestamp_is_refused() -> None:
    with pytest.raises(Refused, match="no SendGrid signature"):
        verify_sendgrid(public_text(), signed(b"[]")[0], None, b"[]", NOW)


@pytest.mark.parametrize("key", ["", "!!!", "AAAA", "é", public_text(ec.derive_private_key(5, ec.SECP384R1()))])
def test_without_a_usable_key_everything_is_refused(key: str) -> None:
    with pytest.raises(Refused):
        verify_sendgrid(key, *signed(b"[]"), b"[]", NOW)


def test_the_sandbox_key_counts_only_without_live_sending(settings: Settings) -> None:
    assert settings.sendgrid_public_key == ""
    (settings.data_dir / "sandbox").mkdir(parents=True)
    (settings.data_dir / "sandbox" / "webhook_public_key.txt").write_text("KEY\n")
    assert settings.sendgrid_public_key == "KEY"
    assert settings.model_copy(update={"live_sending": True}).sendgrid_public_key == ""
    assert settings.model_copy(update={"sendgrid_webhook_public_key": "OWN"}).sendgrid_public_key == "OWN"


TWILIO_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
TWILIO_FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
TWILIO_VECTOR = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_twilio_documented_vector_is_accepted() -> None:
    body = urlencode(TWILIO_FORM).encode()
    verify_twilio("12345", TWILIO_URL, TWILIO_VECTOR, body)
    verify_twilio("12345", TWILIO_URL.replace(".com/", ".com:443/"), TWILIO_VECTOR, body)


@pytest.mark.parametrize("signature", [None, "", "RSOYDt4T1cUTdK1PDd93/VVr8B9=", "x", "é"])
def test_a_missing_or_wrong_twilio_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(Refused):
        verify_twilio("12345", TWILIO_URL, signature, urlencode(TWILIO_FORM).encode())


def test_twilio_without_token_or_with_another_url_or_body_is_refused() -> None:
    body = urlencode(TWILIO_FORM).encode()
    for token, url, sent in (
        ("", TWILIO_URL, body),
        ("54321", TWILIO_URL, body),
        ("12345", TWILIO_URL + "&x=1", body),
        ("12345", TWILIO_URL, body + b"&x=1"),
        ("12345", TWILIO_URL, b"\xff\xfe"),
    ):
        with pytest.raises(Refused):
            verify_twilio(token, url, TWILIO_VECTOR, sent)


def test_empty_and_repeated_fields_are_signed_as_twilio_signs_them() -> None:
    body = b"Body=&MediaUrl=b&MediaUrl=a&To=%2B1"
    text = TWILIO_URL + "Body" + "MediaUrla" + "MediaUrlb" + "To+1"
    signature = RequestValidator("12345").compute_signature(text, {})
    verify_twilio("12345", TWILIO_URL, signature, body)


def test_a_json_body_is_checked_by_the_digest_in_its_url() -> None:
    validator, body = RequestValidator("12345"), b'{"MessageStatus": "sent"}'
    url = f"https://example.com/status?bodySHA256={validator.compute_hash(body.decode())}"
    signature = validator.compute_signature(url, {})
    verify_twilio("12345", url, signature, body)
    with pytest.raises(Refused):
        verify_twilio("12345", url, signature, body + b" ")


def test_a_json_body_without_digest_is_refused() -> None:
    url, body = "https://example.com/status", b'{"MessageStatus": "sent"}'
    with pytest.raises(Refused):
        verify_twilio("12345", url, RequestValidator("12345").compute_signature(url, {}), body)
