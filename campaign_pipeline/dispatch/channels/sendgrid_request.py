"""The mail/send request: one content for all, and for each recipient what fills its slots.

The skeleton's slots become tags, which SendGrid replaces by the recipient's substitutions. Replacement is
plain text and may run over what it has just put in, so a tag carries a random nonce that stands in none of
the request's texts: no contact's data can name a tag. Each part has tags of its own, because an HTML
fragment is escaped and a text fragment is not.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import orjson
from orjson import Fragment
from pydantic import SecretStr
from sendgrid import SendGridAPIClient

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.dispatch.channels.base import Batch, Message
from campaign_pipeline.messages.batches import SUBSTITUTION_LIMIT
from campaign_pipeline.messages.links import list_unsubscribe_headers

MAIL_SEND = "/v3/mail/send"

CONTENT_TYPES = {"text": "text/plain", "html": "text/html"}
"""In the order in which SendGrid wants them."""

TRACKING: dict[str, Any] = {"subscription_tracking": {"enable": False}}
"""Our own link and header unsubscribe; SendGrid's footer would add a second one that we do not hear of."""

NO_CLICKS: dict[str, Any] = {"click_tracking": {"enable": False, "enable_text": False}}

Unsubscribe = Callable[[str, Sequence[str]], Sequence[str]]
"""(run_id, message_ids) -> the unsubscribe URL of each message."""


def request_headers(key: SecretStr) -> dict[str, str]:
    """As the SDK sets them, with its credentials. InvalidInput for a key that cannot stand in a header."""
    if not key.get_secret_value().isprintable():  # said now, not when messages are claimed
        raise InvalidInput(
            "CAMPAIGN_SENDGRID_API_KEY holds a line break or another control character",
            "Set it to the key alone; files of secrets often end in a line break.",
        )
    return SendGridAPIClient(key.get_secret_value()).client.request_headers | {"Content-Type": "application/json"}


def request_bodies(
    batch: Batch, sender: dict[str, str], unsubscribe: Unsubscribe, *, tracks_clicks: bool = True
) -> Iterator[tuple[Sequence[Message], bytes]]:
    """(messages, JSON) of each request of the batch: one, and one for each message that is too long for tags.
    `tracks_clicks`: SendGrid does with links what its account is set to; otherwise it leaves them alone.
    """
    tracking = TRACKING if tracks_clicks else TRACKING | NO_CLICKS
    nonce = _nonce(batch)
    by_part = {part: _tags(nonce, part, cut.slots) for part, cut in batch.skeleton.parts}
    tags = [*chain.from_iterable(by_part.values())]  # in the order of a message's fragments
    urls = unsubscribe(batch.run_id, [message.message_id for message in batch.messages])
    room = SUBSTITUTION_LIMIT - sum(map(len, tags))
    shared = {"run_id": batch.run_id, "attempt": str(batch.attempt)}
    tagged: list[Message] = []
    people: list[Fragment] = []  # JSON already: thousands of small objects would set off the garbage collector
    alone: list[tuple[Message, Fragment]] = []
    for message, url in zip(batch.messages, urls, strict=True):
        person = {
            "to": [{"email": message.address}],
            "headers": list_unsubscribe_headers(url),
            "custom_args": {**shared, "message_id": message.message_id},
        }
        if not _fits(message.fragments, room):
            alone.append((message, Fragment(orjson.dumps(person))))
            continue
        if tags:
            person["substitutions"] = dict(zip(tags, message.fragments, strict=True))
        tagged.append(message)
        people.append(Fragment(orjson.dumps(person)))
    if tagged:
        texts = {part: cut.assemble(by_part[part]) for part, cut in batch.skeleton.parts}
        yield tagged, _body(batch, sender, texts, people, tracking)
    for message, person in alone:
        yield [message], _body(batch, sender, batch.texts(message), [person], tracking)


def _body(
    batch: Batch,
    sender: dict[str, str],
    texts: dict[str, str],
    people: list[Fragment],
    tracking: dict[str, Any],
) -> bytes:
    body = {
        "personalizations": people,
        "from": sender,
        "subject": texts["subject"],
        "content": [{"type": mime, "value": texts[part]} for part, mime in CONTENT_TYPES.items() if part in texts],
        "categories": [batch.campaign, f"variant:{batch.variant}"],
        "tracking_settings": tracking,
    }
    return orjson.dumps(body)


def _fits(fragments: Sequence[str], room: int) -> bool:
    """Whether the fragments take no more than `room` bytes."""
    if 4 * sum(map(len, fragments)) <= room:  # no letter takes more than four bytes, so most need no exact count
        return True
    return sum(len(fragment.encode()) for fragment in fragments) <= room


def _tags(nonce: str, part: str, slots: int) -> list[str]:
    """The tags of one part; each ends in `-`, so that none is the beginning of another."""
    return [f"-{nonce}{part}{slot}-" for slot in range(slots)]


def _nonce(batch: Batch) -> str:
    """12 hex digits that stand in none of the batch's texts."""
    constants = (skeleton.constants for _, skeleton in batch.skeleton.parts)
    fragments = (message.fragments for message in batch.messages)
    text = "\0".join(chain.from_iterable(chain(constants, fragments)))
    while (nonce := secrets.token_hex(6)) in text:
        pass
    return nonce
