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
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.events.relay_verification import verify_mailgun, verify_postmark, verify_ses
from campaign_pipeline.events.sns_certificates import keep, valid_certificates
from campaign_pipeline.events.verification import NEWEST, OLDEST

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
KEY = SecretStr("key-1")
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, at: datetime = NOW) -> bytes:
    """A certificate of the key that is valid from a day before `at` to a day after."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    valid = builder.not_valid_before(at - timedelta(days=1)).not_valid_after(at + timedelta(days=1))
    return valid.serial_number(1).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


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
    file = tmp_path / "sns.pem"
    file.write_bytes(pem(key))
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
        "SigningCertURL": CERTIFICATE_URL,
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
        ({"SigningCertURL": ""}, "SigningCertURL is none"),
        ({"SigningCertURL": CERTIFICATE_URL.replace("https", "http")}, "SigningCertURL is none"),
        ({"SigningCertURL": CERTIFICATE_URL.replace(".com/", ".com.evil.example/")}, "SigningCertURL is none"),
        ({"SigningCertURL": CERTIFICATE_URL.replace(".com/", ".com@evil.example/")}, "SigningCertURL is none"),
        ({"SigningCertURL": CERTIFICATE_URL + "?x=1"}, "SigningCertURL is none"),
    ],
)
def test_what_sns_did_not_sign_is_refused(
    key: rsa.RSAPrivateKey, certificate: Path, changed: dict[str, str], match: str
) -> None:
    with pytest.raises(Refused, match=match):
        verify_ses(TOPIC, certificate, sns_body(key, changed=changed), NOW)


def test_ses_is_refused_without_topic_and_without_a_certificate_that_is_valid(
    key: rsa.RSAPrivateKey, certificate: Path, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="no topic"):
        verify_ses("", certificate, sns_body(key), NOW)
    (tmp_path / "none.pem").write_text("none")
    for file, at, why in (
        (tmp_path / "absent.pem", NOW, "no certificate of Amazon SNS is known"),
        (tmp_path / "none.pem", NOW, "no PEM file"),
        (certificate, NOW + timedelta(days=2), "not valid at this time"),
    ):
        with pytest.raises(Refused, match=why) as refused:
            verify_ses(TOPIC, file, sns_body(key), at)
        assert refused.value.hint == f"Download {CERTIFICATE_URL} and keep it: campaigns events certificate FILE"


def test_what_somebody_else_signed_for_our_topic_is_refused(certificate: Path) -> None:
    other = rsa.generate_private_key(65537, 2048)
    with pytest.raises(Refused, match="does not fit"):
        verify_ses(TOPIC, certificate, sns_body(other), NOW)


def test_a_new_certificate_is_kept_beside_the_old_one_until_its_time_is_over(
    key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    file, later = tmp_path / "kept" / "sns.pem", NOW + timedelta(days=2)
    successor = rsa.generate_private_key(65537, 2048)
    keep(file, pem(key), NOW)
    keep(file, pem(key), NOW)
    keep(file, pem(successor, NOW), NOW)
    assert len(valid_certificates(file, NOW)) == 2
    for signer in (key, successor):
        verify_ses(TOPIC, file, sns_body(signer), NOW)
    keep(file, pem(rsa.generate_private_key(65537, 2048), later), later)
    assert file.read_text().count("BEGIN CERTIFICATE") == 1


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no certificate in PEM"),
        (b"none", "no certificate in PEM"),
        (pem(ec.derive_private_key(5, ec.SECP256R1())), "no RSA key"),
        (pem(ec.derive_private_key(5, ec.SECP256R1()), NOW)[:-40], "no certificate in PEM"),
    ],
)
def test_what_cannot_be_a_certificate_of_sns_is_not_kept(tmp_path: Path, content: bytes, match: str) -> None:
    file = tmp_path / "sns.pem"
    with pytest.raises(InvalidInput, match=match):
        keep(file, content, NOW)
    assert not file.exists()


def test_a_certificate_that_is_not_valid_now_is_not_kept(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="valid from 2026-03-01 to 2026-03-03, and not now"):
        keep(tmp_path / "sns.pem", pem(key), NOW + timedelta(days=9))
