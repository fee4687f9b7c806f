"""Signatures of links, so that nobody but us can make one."""

import hmac
from hashlib import sha256

from pydantic import SecretStr

SIGNATURE_DIGITS = 32
"""128 bits, in hex: lower case survives gateways that fold case."""


def sign(secret: SecretStr, what_for: str, *parts: str) -> str:
    """HMAC-SHA256 of the parts, cut to SIGNATURE_DIGITS; one made for something else never fits."""
    signed = ":".join((what_for, *parts))
    return hmac.new(secret.get_secret_value().encode(), signed.encode(), sha256).hexdigest()[:SIGNATURE_DIGITS]


def fits(signature: str, secret: SecretStr, what_for: str, *parts: str) -> bool:
    """Whether `signature`, which anybody may have written, is ours; takes as long if it is not."""
    return hmac.compare_digest(sign(secret, what_for, *parts).encode(), signature.encode("utf-8", "replace"))
