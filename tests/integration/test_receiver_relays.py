"""Mailgun, Postmark and Amazon SES over HTTP: what they prove is kept and read, everything else is refused."""

import hmac
import logging
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256

import orjson
import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import suppressions
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.events.sns_certificates import keep
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rejected import list_rejected
from campaign_pipeline.web.server import ReceiverServer

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-7ff5318490ec183f.pem"
CONFIRM = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
LOGIN = {"Authorization": "Basic " + b64encode(b"postmark:s3cret").decode()}
KEY = rsa.generate_private_key(65537, 2048)


@pytest.fixture
def server(settings: Settings) -> Iterator[ReceiverServer]:
    keys = {
        "mailgun_signing_key": SecretStr("key-1"),
        "postmark_webhook_login": SecretStr("postmark:s3cret"),
        "ses_topic_arn": TOPIC,
    }
    with ReceiverServer(settings.model_copy(update=keys)) as running:
        yield running


def post(server: ReceiverServer, provider: str, body: bytes, headers: dict[str, str] | None = None) -> int:
    asked = urllib.request.Request(f"{server.url}/webhooks/{provider}", body, headers or {})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def mailgun(server: ReceiverServer, key: str = "key-1") -> bytes:
    timestamp = str(int(server.settings.clock().timestamp()))
    signature = hmac.new(key.encode(), f"{timestamp}token".encode(), sha256).hexdigest()
    signed = {"timestamp": timestamp, "token": "token", "signature": signature}
    return orjson.dumps(
        {
            "signature": signed,
            "event-data": {"event": "complained", "timestamp": timestamp, "recipient": "ann@example.com"},
        }
    )


def postmark() -> bytes:
    fields = {"RecordType": "Bounce", "Type": "HardBounce", "Email": "bob@example.com", "ID": 1}
    return orjson.dumps(fields | {"BouncedAt": "2026-03-02T10:00:00.1234567-05:00"})


def sns(kind: str, **fields: str) -> bytes:
    signed = {"MessageId": "m", "Timestamp": "2026-03-02T09:00:00.000Z", "TopicArn": TOPIC, "Type": kind} | fields
    text = "".join(f"{name}\n{signed[name]}\n" for name in sorted(signed))  # SNS' order is that of the alphabet
    signature = b64encode(KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    return orjson.dumps(signed | {"Signature": signature, "SignatureVersion": "2", "SigningCertURL": CERTIFICATE_URL})


def ses_bounce() -> bytes:
    bounce = {
        "bounceType": "Permanent",
        "bounceSubType": "NoEmail",
        "bouncedRecipients": [{"emailAddress": "eve@example.com", "status": "5.1.1"}],
        "timestamp": "2026-03-02T09:00:00.000Z",
    }
    message = {"notificationType": "Bounce", "bounce": bounce, "mail": {"messageId": "ses-1"}}
    return sns("Notification", Message=orjson.dumps(message).decode())


def keep_certificate(settings: Settings) -> None:
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")]), settings.clock()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    valid = builder.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    keep(settings.ses_certificates, valid.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM), now)


def test_what_is_proven_is_taken_and_suppresses_whom_it_is_about(
    server: ReceiverServer, engine: sa.Engine, lake: Lake
) -> None:
    keep_certificate(server.settings)
    assert post(server, "mailgun", mailgun(server)) == 200
    assert post(server, "postmark", postmark(), LOGIN) == 200
    assert post(server, "ses", ses_bounce()) == 200
    received = receive(engine, lake, server.settings)
    assert (received.events, received.suppressed, received.rejected) == (3, 3, 0)
    with reading(engine) as connection:
        rows = connection.execute(sa.select(suppressions.c.address, suppressions.c.reason)).all()
    assert {row.address: row.reason for row in rows} == {
        "ann@example.com": "complained",
        "bob@example.com": "hard_bounce",
        "eve@example.com": "hard_bounce",
    }


def test_what_is_not_proven_is_refused_and_not_kept(server: ReceiverServer) -> None:
    keep_certificate(server.settings)
    assert post(server, "mailgun", mailgun(server, "other")) == 403
    assert post(server, "postmark", postmark()) == 403
    assert post(server, "ses", ses_bounce().replace(b"eve@", b"ann@")) == 403
    assert list(server.settings.inbox_dir.glob("*.jsonl")) == []


def test_the_way_to_a_confirmed_subscription(
    server: ReceiverServer, engine: sa.Engine, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    asked = sns("SubscriptionConfirmation", Message="You have chosen", SubscribeURL=CONFIRM, Token="t")
    with caplog.at_level(logging.WARNING):
        assert post(server, "ses", asked) == 403
    assert f"Download {CERTIFICATE_URL} and keep it: campaigns events certificate FILE" in caplog.text
    keep_certificate(server.settings)  # the receiver goes on running
    assert post(server, "ses", asked) == 200
    receive(engine, lake, server.settings)
    assert [row.confirm for row in list_rejected(Installation(server.settings))] == [CONFIRM]
