"""Envelope senders that say which attempt a bounce is about (VERP: variable envelope return path).

`bounce@example.com` becomes `bounce+<token>@example.com`. A token is 40 letters and digits of base32, the same in any
case: message id (12 bytes), mark of the run (5), attempt (2), and 6 bytes of HMAC-SHA256 over these, so that nobody can
make up a bounce and have an address suppressed. It holds nothing personal.
"""

import hmac
from base64 import b32decode, b32encode
from hashlib import blake2b, sha256
from typing import NamedTuple

from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput

TOKEN_LENGTH = 40
LONGEST_LOCAL_PART = 64  # RFC 5321, 4.5.3.1.1
_SIGNATURE_BYTES = 6
MOST_ATTEMPTS = 2**16 - 1


class Bounced(NamedTuple):
    """What a token names; `run_mark` is `run_mark(run_id)` of its run."""

    message_id: str
    run_mark: str
    attempt: int


def run_mark(run_id: str) -> str:
    """10 hex digits that stand for a run: its id is too long for an address."""
    return blake2b(run_id.encode(), digest_size=5).hexdigest()


def bounce_token(run_id: str, message_id: str, attempt: int, secret: SecretStr) -> str:
    """The token of an attempt; `message_id`: 24 hex digits."""
    named = bytes.fromhex(message_id + run_mark(run_id)) + min(attempt, MOST_ATTEMPTS).to_bytes(2)
    return b32encode(named + _signature(named, secret)).decode().lower()


def read_bounce_token(token: str, secret: SecretStr) -> Bounced | None:
    """What `token` names; None if it is not one of ours."""
    if len(token) != TOKEN_LENGTH or not token.isascii() or not token.isalnum():
        return None
    try:
        held = b32decode(token.upper())
    except ValueError:
        return None
    named, signature = held[:-_SIGNATURE_BYTES], held[-_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(named, secret)):
        return None
    return Bounced(named[:12].hex(), named[12:17].hex(), int.from_bytes(named[17:]))


def bounce_address(base: str, token: str) -> str:
    """`base` with the token in it."""
    local, _, domain = base.rpartition("@")
    return f"{local}+{token}@{domain}"


def read_bounce_address(address: str, secret: SecretStr) -> Bounced | None:
    """What the recipient of a bounce names; None if it is not one of our envelope senders."""
    local, _, _ = address.strip().strip("<>").rpartition("@")
    return read_bounce_token(local.rpartition("+")[2], secret)


def require_room(base: str) -> str:
    """`base`, if a token fits into it, else InvalidInput."""
    local, _, domain = base.rpartition("@")
    if not local or not domain:
        raise InvalidInput("CAMPAIGN_SMTP_BOUNCE_ADDRESS is not an address", "Give it as bounce@example.com.")
    if len(local) + 1 + TOKEN_LENGTH > LONGEST_LOCAL_PART:
        raise InvalidInput(
            "the name in CAMPAIGN_SMTP_BOUNCE_ADDRESS is too long to carry a token",
            f"Choose one of at most {LONGEST_LOCAL_PART - 1 - TOKEN_LENGTH} characters, such as bounce@example.com.",
        )
    return base


def _signature(named: bytes, secret: SecretStr) -> bytes:
    key = secret.get_secret_value().encode()
    return hmac.digest(key, b"bounce:" + named, sha256)[:_SIGNATURE_BYTES]
