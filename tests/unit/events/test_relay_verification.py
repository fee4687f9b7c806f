"""Posts of Mailgun, Postmark and Amazon SES: what is proven, and everything that must be refused."""

import hmac
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from campaign_pipeline.core.errors import Refused
from campaign_pipeline.events.relay_verification import verify_mailgun, verify_postmark, verify_ses
from campaign_pipeline.events.verification import NEWEST, OLDEST

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
KEY = SecretStr("key-1")
TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"


def mailgun_body(at: datetime = NOW, key: str = "key-1", **changes: str) -> bytes:
    timestamp, token = str(int(at.timestamp())), "t" * 50
    signature = hmac.new(key.encode(), (timestamp + token).encode(), sha256).hexdigest()
    signed = {"timestamp": timestamp, "token": token, "signature": signature} | changes
    return orjson.dumps({"signature": signed, "event-data": {"event": "opened"}})


def test_what_mailgun_signed_is_taken() -> None:
    verify_mailgun(KEY, mailgun_body(), NOW)


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (mailgun_body(key="other"), "does not fit"),
        (mailgun_body(token="u" * 50), "does not fit"),
        (mailgun_body(signature=""), "does not fit"),
        (mailgun_body(signature="é"), "does not fit"),
        (mailgun_body(NOW - OLDEST - timedelta(seconds=1)), "old"),
        (mailgun_body(NOW + NEWEST + timedelta(seconds=1)), "old"),
        (b"{", "cannot be read"),
        (b"[]", "does not fit"),
        (b"\xff", "cannot be read"),
        (b"", "does not fit"),
    ],
)
def test_what_mailgun_did_not_sign_is_refused(body: bytes, match: str) -> None:
    with pytest.raises(Refused, match=match):
        verify_mailgun(KEY, body, NOW)


def test_without_a_key_mailgun_is_refused() -> None:
    with pytest.raises(Refused, match="no key"):
        verify_mailgun(SecretStr(""), mailgun_body(key=""), NOW)


def test_postmark_needs_the_login_of_its_url() -> None:
    login = SecretStr("postmark:s3cret")
    verify_postmark(login, "Basic " + b64encode(b"postmark:s3cret").decode())
    verify_postmark(login, "basic " + b64encode(b"postmark:s3cret").decode())
    for given in (
        None,
        "",
        "Basic",
        "Basic !",
        "Basic " + b64encode(b"postmark:other").decode(),
        "Bearer postmark:s3cret",
    ):
        with pytest.raises(Refused, match="does not have"):
            verify_postmark(login, given)
    for unset in ("", "nocolon"):
        with pytest.raises(Refused, match="no login"):
            verify_postmark(SecretStr(unset), "Basic " + b64encode(unset.encode()).decode())


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def certificate(key: rsa.RSAPrivateKey, tmp_path: Path) -> Path:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "sns.pem"
    file.write_bytes(built.public_bytes(Encoding.PEM))
    return file


def sns_body(key: rsa.RSAPrivateKey, version: str = "2", changed: dict[str, str] | None = None) -> bytes:
    fields = {
        "Message": '{"eventType":"Send"}',
        "MessageId": "m-1",
        "Timestamp": "2026-03-02T09:00:00.000Z",
        "TopicArn": TOPIC,
        "Type": "Notification",
    }
    text = "".join(f"{name}\n{value}\n" for name, value in fields.items()).encode()
    digest = hashes.SHA256() if version == "2" else hashes.SHA1()
    signature = b64encode(key.sign(text, padding.PKCS1v15(), digest)).decode()
    signed = fields | {
        "SignatureVersion": version,
        "Signature": signature,
        "SigningCertURL": "https://evil.example/x.pem",
    }
    return orjson.dumps(signed | (changed or {}))


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_sns_signed_for_our_topic_is_taken(key: rsa.RSAPrivateKey, certificate: Path, version: str) -> None:
    verify_ses(TOPIC, certificate, sns_body(key, version), NOW)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"Message": '{"eventType":"Bounce"}'}, "does not fit"),
        ({"Subject": "added"}, "does not fit"),
        ({"Signature": "AAAA"}, "does not fit"),
        ({"Signature": "!"}, "cannot be read"),
        ({"SignatureVersion": "3"}, "none of SNS'"),
        ({"Type": "Other"}, "none of SNS'"),
        ({"TopicArn": TOPIC + "2"}, "another SNS topic"),
    ],
)
def test_what_sns_did_not_sign_is_refused(
    key: rsa.RSAPrivateKey, certificate: Path, changed: dict[str, str], match: str
) -> None:
    with pytest.raises(Refused, match=match):
        verify_ses(TOPIC, certificate, sns_body(key, changed=changed), NOW)


def test_ses_is_refused_without_settings_and_with_a_certificate_that_is_none(
    key: rsa.RSAPrivateKey, certificate: Path, tmp_path: Path
) -> None:
    for topic, file in (("", certificate), (TOPIC, None)):
        with pytest.raises(Refused, match="no topic and certificate"):
            verify_ses(topic, file, sns_body(key), NOW)
    (tmp_path / "none.pem").write_text("none")
    for file in (tmp_path / "none.pem", tmp_path / "absent.pem"):
        with pytest.raises(Refused, match="no PEM file"):
            verify_ses(TOPIC, file, sns_body(key), NOW)
    with pytest.raises(Refused, match="does not fit"):  # the certificate is not valid any more
        verify_ses(TOPIC, certificate, sns_body(key), NOW + timedelta(days=2))
