"""The body of a mail/send request: one content for all, and for each recipient what fills its slots.

The skeleton's slots become tags, which SendGrid replaces by the recipient's substitutions. Replacement is
plain text and may run over what it has just put in, so a tag carries a random nonce that stands in none of
the request's texts: no contact's data can name a tag. Each part has tags of its own, because an HTML
fragment is escaped and a text fragment is not.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from campaign_pipeline.dispatch.channels.base import Batch, Message
from campaign_pipeline.messages.batches import SUBSTITUTION_LIMIT
from campaign_pipeline.messages.links import list_unsubscribe_headers

CONTENT_TYPES = {"text": "text/plain", "html": "text/html"}
"""In the order in which SendGrid wants them."""

TRACKING: dict[str, Any] = {"subscription_tracking": {"enable": False}}
"""Our own link and header unsubscribe; SendGrid's footer would add a second one that we do not hear of."""

NO_CLICKS: dict[str, Any] = {"click_tracking": {"enable": False, "enable_text": False}}

Unsubscribe = Callable[[str, str], str]
"""(run_id, message_id) -> the message's unsubscribe URL."""


def request_bodies(
    batch: Batch, sender: dict[str, str], unsubscribe: Unsubscribe, *, tracks_clicks: bool = True
) -> Iterator[tuple[Sequence[Message], dict[str, Any]]]:
    """(messages, body) of each request of the batch: one, and one for each message that is too long for tags.

    `tracks_clicks`: SendGrid does with links what its account is set to; otherwise it leaves them alone.
    """
    tracking = TRACKING if tracks_clicks else TRACKING | NO_CLICKS
    nonce = _nonce(batch)
    tagged: list[Message] = []
    personalizations: list[dict[str, Any]] = []
    alone: list[Message] = []
    for message in batch.messages:
        substitutions = {
            tag: fragment
            for part, _, fragments in batch.fragments(message)
            for tag, fragment in zip(_tags(nonce, part, len(fragments)), fragments, strict=True)
        }
        if sum(len(tag) + len(text.encode()) for tag, text in substitutions.items()) > SUBSTITUTION_LIMIT:
            alone.append(message)
            continue
        tagged.append(message)
        personalization = _personalization(batch, message, unsubscribe)
        personalizations.append(
            personalization | {"substitutions": substitutions} if substitutions else personalization
        )
    if tagged:
        skeleton = {part: cut.assemble(_tags(nonce, part, cut.slots)) for part, cut in batch.skeleton.parts}
        yield tagged, _body(batch, sender, skeleton, personalizations, tracking)
    for message in alone:
        person = _personalization(batch, message, unsubscribe)
        yield [message], _body(batch, sender, batch.texts(message), [person], tracking)


def _body(
    batch: Batch,
    sender: dict[str, str],
    texts: dict[str, str],
    personalizations: list[dict[str, Any]],
    tracking: dict[str, Any],
) -> dict[str, Any]:
    return {
        "personalizations": personalizations,
        "from": sender,
        "subject": texts["subject"],
        "content": [{"type": mime, "value": texts[part]} for part, mime in CONTENT_TYPES.items() if part in texts],
        "categories": [batch.campaign, f"variant:{batch.variant}"],
        "tracking_settings": tracking,
    }


def _personalization(batch: Batch, message: Message, unsubscribe: Unsubscribe) -> dict[str, Any]:
    return {
        "to": [{"email": message.address}],
        "headers": list_unsubscribe_headers(unsubscribe(batch.run_id, message.message_id)),
        "custom_args": {"run_id": batch.run_id, "message_id": message.message_id, "attempt": str(batch.attempt)},
    }


def _tags(nonce: str, part: str, slots: int) -> list[str]:
    """The tags of one part; each ends in `-`, so that none is the beginning of another."""
    return [f"-{nonce}{part}{slot}-" for slot in range(slots)]


def _nonce(batch: Batch) -> str:
    """12 hex digits that stand in none of the batch's texts."""
    while True:
        nonce = secrets.token_hex(6)
        constants = (text for _, skeleton in batch.skeleton.parts for text in skeleton.constants)
        fragments = (text for message in batch.messages for text in message.fragments)
        if not any(nonce in text for texts in (constants, fragments) for text in texts):
            return nonce
