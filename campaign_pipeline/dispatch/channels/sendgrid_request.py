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
import polars as pl
from orjson import Fragment
from pydantic import SecretStr
from sendgrid import SendGridAPIClient

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.dispatch.channels.base import Batch
from campaign_pipeline.dispatch.channels.message import Messages
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
) -> Iterator[tuple[Sequence[int], bytes]]:
    """(message_nos, JSON) of each request of the batch: one, and one for each message that is too long for tags.
    `tracks_clicks`: SendGrid does with links what its account is set to; otherwise it leaves them alone.
    """
    tracking = TRACKING if tracks_clicks else TRACKING | NO_CLICKS
    nonce = _nonce(batch)
    by_part = {part: _tags(nonce, part, cut.slots) for part, cut in batch.skeleton.parts}
    tags = [*chain.from_iterable(by_part.values())]  # in the order of a message's fragments
    urls = unsubscribe(batch.run_id, batch.column("message_id"))
    room = SUBSTITUTION_LIMIT - sum(map(len, tags))
    messages = Messages.of(batch.messages).frame.with_columns(url=pl.Series(urls, dtype=pl.String))
    fits = messages.select(pl.col("fragments").list.eval(pl.element().str.len_bytes()).list.sum() <= room).to_series()
    tagged = messages if fits.all() else messages.filter(fits)
    person = _person(batch)
    if tagged.height:
        texts = {part: cut.assemble(by_part[part]) for part, cut in batch.skeleton.parts}
        filled = {"substitutions": pl.col("fragments").list.to_struct(fields=tags)} if tags else {}
        yield tagged["message_no"].to_list(), _body(batch, sender, texts, _json(tagged, person | filled), tracking)
    if tagged is messages:
        return
    alone = messages.filter(~fits)
    for message, row in zip(Messages(alone), alone.iter_slices(1), strict=True):
        yield [message.message_no], _body(batch, sender, batch.texts(message), _json(row, person), tracking)


def _person(batch: Batch) -> dict[str, pl.Expr]:
    """A personalization without its substitutions; `url` is the recipient's to unsubscribe."""
    headers = list_unsubscribe_headers("{}")  # as a pattern
    own = {"run_id": pl.lit(batch.run_id), "attempt": pl.lit(str(batch.attempt)), "message_id": pl.col("message_id")}
    return {
        "to": pl.concat_list(_object({"email": pl.col("address")})),
        "headers": _object({name: pl.format(text, *["url"] * text.count("{}")) for name, text in headers.items()}),
        "custom_args": _object(own),
    }


def _json(messages: pl.DataFrame, person: dict[str, pl.Expr]) -> Fragment:
    """The personalizations of these rows; written column by column, in a fraction of the time of one by one."""
    return Fragment(messages.select(pl.format("[{}]", _object(person).struct.json_encode().str.join(","))).item())


def _object(fields: dict[str, pl.Expr]) -> pl.Expr:
    return pl.struct([value.alias(name) for name, value in fields.items()])


def _body(
    batch: Batch,
    sender: dict[str, str],
    texts: dict[str, str],
    people: Fragment,
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


def _tags(nonce: str, part: str, slots: int) -> list[str]:
    """The tags of one part; each ends in `-`, so that none is the beginning of another."""
    return [f"-{nonce}{part}{slot}-" for slot in range(slots)]


def _nonce(batch: Batch) -> str:
    """12 hex digits that stand in none of the batch's texts."""
    constants = "\0".join(chain.from_iterable(skeleton.constants for _, skeleton in batch.skeleton.parts))
    fragments = Messages.of(batch.messages).frame["fragments"].explode()
    while (nonce := secrets.token_hex(6)) in constants or fragments.str.contains(nonce, literal=True).any():
        pass
    return nonce
