"""Unsubscribe links: a signed token names the message, and with it the contact, the channel and the run.

A token is `<run_id>.<message_id>.<signature>`, the signature 32 hex digits (128 bits) of HMAC-SHA256. It is
lower-case and ends in a hex digit, so that it survives gateways that fold case and mail readers that guess
where a link ends. It never expires: the right to unsubscribe does not.
"""

import re

from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import RUN_ID
from campaign_pipeline.core.signing import fits, sign

_MESSAGE_ID = re.compile(r"[0-9a-f]{24}")
_WHAT_FOR = "unsubscribe"


def unsubscribe_token(secret: SecretStr, run_id: str, message_id: str) -> str:
    return f"{run_id}.{message_id}.{sign(secret, _WHAT_FOR, run_id, message_id)}"


def read_unsubscribe_token(secret: SecretStr, token: str) -> tuple[str, str]:
    """(run_id, message_id) of a token that we signed; InvalidInput for any other."""
    run_id, _, rest = token.partition(".")
    message_id, _, signature = rest.partition(".")
    named = RUN_ID.fullmatch(run_id) and _MESSAGE_ID.fullmatch(message_id)
    if named and fits(signature, secret, _WHAT_FOR, run_id, message_id):
        return run_id, message_id
    raise InvalidInput("this is not an unsubscribe link of ours", "The link may have been cut: copy it whole.")


def unsubscribe_url(public_url: str, token: str) -> str:
    return f"{public_url.rstrip('/')}/u/{token}"


def list_unsubscribe_headers(url: str) -> dict[str, str]:
    """The headers of RFC 2369 and RFC 8058 for one-click unsubscription by POST to `url`."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
