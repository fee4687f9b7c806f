"""The key pair that signs SendGrid's event posts, made once for an installation."""

import os
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from campaign_pipeline.core.errors import InvalidInput

PRIVATE_KEY = "webhook_private_key.pem"
PUBLIC_KEY = "webhook_public_key.txt"
SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"


@dataclass(frozen=True)
class WebhookKey:
    private: ec.EllipticCurvePrivateKey

    @property
    def public_text(self) -> str:
        """Base64 of the DER public key, as SendGrid shows it and EventWebhook takes it."""
        der = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return b64encode(der).decode()

    def headers(self, body: bytes, timestamp: int) -> dict[str, str]:
        """The two headers that sign `timestamp` + `body` (ECDSA P-256, SHA-256)."""
        signature = self.private.sign(str(timestamp).encode() + body, ec.ECDSA(hashes.SHA256()))
        return {SIGNATURE_HEADER: b64encode(signature).decode(), TIMESTAMP_HEADER: str(timestamp)}


def webhook_key(folder: Path) -> WebhookKey:
    """The pair in `folder`: made when it is not there, kept when it is."""
    path = folder / PRIVATE_KEY
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = ec.generate_private_key(ec.SECP256R1())
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _put(path, pem, mode=0o600, replace=False)
    private = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise InvalidInput(f"{path} is not an elliptic-curve key", "Delete the file; a new one is made.")
    key = WebhookKey(private)
    _put(folder / PUBLIC_KEY, key.public_text.encode(), mode=0o644, replace=True)
    return key


def _put(path: Path, data: bytes, mode: int, replace: bool) -> None:
    """Whole or not at all; without `replace`, whoever came first wins."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    temporary.touch(mode=mode)
    temporary.write_bytes(data)
    if replace:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass  # another sandbox made it at the same moment
    finally:
        temporary.unlink()
