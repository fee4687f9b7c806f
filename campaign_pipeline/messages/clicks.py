"""Links that lead through our own redirect, which keeps the click: `/r/<message>.<run>.<signature>.<target>`.

`<message>` is the message's id and its signature, a fragment of each message; what follows is the same for all messages
of a run, and signs the target. So nobody but us can name a target or a message, and a link costs a message 56 bytes.
The target is in base32: lower case survives gateways that fold case.
"""

import binascii
from base64 import b32decode, b32encode
from collections.abc import Iterable
from html import unescape
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import RUN_ID
from campaign_pipeline.core.signing import fits, sign
from campaign_pipeline.messages.links import MESSAGE_ID, signatures

PATH = "r"
_MESSAGE, _TARGET = "click", "click-target"
_ID_DIGITS = 24


class Click(NamedTuple):
    run_id: str
    message_id: str
    url: str


class ClickTargets:
    """Signs the targets of one run's links. In a template: the argument of the filter `click_target`."""

    def __init__(self, secret: SecretStr, run_id: str) -> None:
        self._secret, self._run_id = secret, run_id  # underscored: the sandbox keeps templates away from them

    def sign(self, address: str) -> str:
        """What follows the message in a link to `address`."""
        signature = sign(self._secret, _TARGET, self._run_id, address)
        return f"{self._run_id}.{signature}.{b32encode(address.encode()).decode().rstrip('=').lower()}"

    def __str__(self) -> str:
        return ""  # an author who finds its name prints nothing with it


def click_target(html: str, targets: ClickTargets) -> str:
    """The filter: what follows the message in a link whose address, for one contact, is `html`."""
    return targets.sign(unescape(str(html)).strip())


def click_messages(secret: SecretStr, run_id: str, message_ids: Iterable[str]) -> list[str]:
    """What names each message in its links: id and signature."""
    ids = list(message_ids)
    return [
        f"{each}{signature}" for each, signature in zip(ids, signatures(secret, _MESSAGE, run_id, ids), strict=True)
    ]


def click_base(public_url: str) -> str:
    return f"{public_url.rstrip('/')}/{PATH}/"


def click_url(public_url: str, secret: SecretStr, click: Click) -> str:
    """One whole link."""
    (message,) = click_messages(secret, click.run_id, [click.message_id])
    return f"{click_base(public_url)}{message}.{ClickTargets(secret, click.run_id).sign(click.url)}"


def read_click_token(secret: SecretStr, token: str) -> Click:
    """Which message and target a token names; InvalidInput unless we signed both, and for what is not of the web."""
    message, _, rest = token.partition(".")
    run_id, _, rest = rest.partition(".")
    signature, _, target = rest.partition(".")
    message_id, of_message = message[:_ID_DIGITS], message[_ID_DIGITS:]
    url = _decoded(target)
    if (
        RUN_ID.fullmatch(run_id)
        and MESSAGE_ID.fullmatch(message_id)
        and fits(of_message, secret, _MESSAGE, run_id, message_id)
        and fits(signature, secret, _TARGET, run_id, url)
        and is_web(url)
    ):
        return Click(run_id, message_id, url)
    raise InvalidInput("this is not a link of ours", "The link may have been cut: copy it whole.")


def is_web(url: str) -> bool:
    """Whether `url` is absolute, by http or https."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _decoded(target: str) -> str:
    try:
        return b32decode(target.upper() + "=" * (-len(target) % 8)).decode()
    except (binascii.Error, ValueError):  # not base32, or not UTF-8
        return ""
