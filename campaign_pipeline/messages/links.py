"""Signed links of a message: to unsubscribe, to preferences, to view it in a browser.

A token is `<run_id>.<message_id>.<signature>`, the signature 32 hex digits (128 bits) of HMAC-SHA256 over what the link
is for, run and message: it names the message, and with it the contact, the channel and the run. It is lower-case and
ends in a hex digit, so that it survives gateways that fold case and mail readers that guess where a link ends. It never
expires: the right to unsubscribe does not.
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from hashlib import sha256

from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import RUN_ID
from campaign_pipeline.core.signing import SIGNATURE_DIGITS, fits, sign

MESSAGE_ID = re.compile(r"[0-9a-f]{24}")
_BLOCK = 64  # bytes that SHA-256 takes at a time


class LinkTo(StrEnum):
    """What a link is signed for: no other signature of ours fits."""

    UNSUBSCRIBE = "unsubscribe"
    PREFERENCES = "preferences"
    VIEW = "view"


PATHS = {LinkTo.UNSUBSCRIBE: "u", LinkTo.PREFERENCES: "p", LinkTo.VIEW: "v"}
"""The first word of each link's path."""


def message_token(secret: SecretStr, link: LinkTo, run_id: str, message_id: str) -> str:
    return f"{run_id}.{message_id}.{sign(secret, link, run_id, message_id)}"


def read_message_token(secret: SecretStr, link: LinkTo, token: str) -> tuple[str, str]:
    """(run_id, message_id) of a token that we signed for `link`; InvalidInput for any other."""
    run_id, _, rest = token.partition(".")
    message_id, _, signature = rest.partition(".")
    named = RUN_ID.fullmatch(run_id) and MESSAGE_ID.fullmatch(message_id)
    if named and fits(signature, secret, link, run_id, message_id):
        return run_id, message_id
    article = "an" if link is LinkTo.UNSUBSCRIBE else "a"
    raise InvalidInput(f"this is not {article} {link} link of ours", "The link may have been cut: copy it whole.")


def message_urls(
    public_url: str, secret: SecretStr, link: LinkTo, run_id: str, message_ids: Iterable[str]
) -> Iterator[str]:
    """The link of every message."""
    begin = f"{public_url.rstrip('/')}/{PATHS[link]}/{run_id}."
    message_ids = list(message_ids)
    for message_id, signature in zip(message_ids, signatures(secret, link, run_id, message_ids), strict=True):
        yield f"{begin}{message_id}.{signature}"


def signatures(secret: SecretStr, what_for: str, run_id: str, message_ids: Iterable[str]) -> Iterator[str]:
    """`sign` of every message, in a fraction of the time: the key is worked in once (HMAC, RFC 2104)."""
    key = secret.get_secret_value().encode()
    key = (sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    inner, outer = (
        sha256(key.translate(bytes(byte ^ 0x36 for byte in range(256)))),
        sha256(key.translate(bytes(byte ^ 0x5C for byte in range(256)))),
    )
    inner.update(f"{what_for}:{run_id}:".encode())
    for message_id in message_ids:
        signed, signature = inner.copy(), outer.copy()
        signed.update(message_id.encode())
        signature.update(signed.digest())
        yield signature.hexdigest()[:SIGNATURE_DIGITS]


def unsubscribe_token(secret: SecretStr, run_id: str, message_id: str) -> str:
    return message_token(secret, LinkTo.UNSUBSCRIBE, run_id, message_id)


def read_unsubscribe_token(secret: SecretStr, token: str) -> tuple[str, str]:
    """(run_id, message_id) of a token that we signed; InvalidInput for any other."""
    return read_message_token(secret, LinkTo.UNSUBSCRIBE, token)


def unsubscribe_url(public_url: str, token: str) -> str:
    return f"{public_url.rstrip('/')}/{PATHS[LinkTo.UNSUBSCRIBE]}/{token}"


def list_unsubscribe_headers(url: str) -> dict[str, str]:
    """The headers of RFC 2369 and RFC 8058 for one-click unsubscription by POST to `url`."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
