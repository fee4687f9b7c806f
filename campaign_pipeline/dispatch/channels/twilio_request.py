"""The request that creates a Twilio message: byte for byte the one that the SDK's `messages.create` makes.

Written out because the SDK takes longer to prepare a request than the request takes; a test compares the two.
"""

import json
from collections.abc import Callable, Sequence
from urllib.parse import quote_plus, urlencode

from aiohttp import encode_basic_auth
from twilio.rest import Client

from campaign_pipeline.dispatch.channels.base import Batch, Message
from campaign_pipeline.messages.skeleton import Skeleton
from campaign_pipeline.messages.skeletons import MessageSkeleton


def create_path(client: Client) -> str:
    return f"/2010-04-01/Accounts/{client.account_sid}/Messages.json"


def create_headers(client: Client) -> dict[str, str]:
    """As the SDK sets them, with its credentials."""
    account, token = client.username or "", client.password or ""
    return client.get_headers("POST", None) | {"Authorization": encode_basic_auth(account, token)}


def create_forms(batch: Batch, sender: str, callback: str) -> Callable[[Message, str], bytes]:
    """A function from (message, its recipient) to the form that creates it, its fields in the SDK's order.

    The StatusCallback is `callback` with run, message and attempt, so that it proves an attempt whose answer was lost.
    """
    origin = urlencode({"From": sender})
    begin = urlencode({"StatusCallback": f"{callback}?{urlencode({'run_id': batch.run_id})}&message_id="})
    end = quote_plus(f"&{urlencode({'attempt': batch.attempt})}")
    said = _template(batch) if any(part == "content_sid" for part, _ in batch.skeleton.parts) else _body(batch)

    def form(message: Message, recipient: str) -> bytes:
        variables, content = said(message)
        told = f"{begin}{quote_plus(quote_plus(message.message_id))}{end}"  # its query is quoted within it
        return "&".join((f"To={quote_plus(recipient)}", told, *variables, origin, content)).encode()

    return form


Said = Callable[[Message], tuple[Sequence[str], str]]
"""What a message says, as fields of the form: the variables of a content template, and that template or a body."""


def _body(batch: Batch) -> Said:
    """Letter by letter the same whether a text is quoted whole or in pieces: the constants are quoted once for all."""
    parts = ((part, Skeleton(tuple(map(quote_plus, cut.constants)))) for part, cut in batch.skeleton.parts)
    quoted = MessageSkeleton(tuple(parts))
    return lambda message: ((), f"Body={quoted.assemble(list(map(quote_plus, message.fragments)))['body']}")


def _template(batch: Batch) -> Said:
    def said(message: Message) -> tuple[Sequence[str], str]:
        texts = batch.texts(message)
        variables = {part.removeprefix("var:"): text for part, text in texts.items() if part.startswith("var:")}
        given = [f"ContentVariables={quote_plus(json.dumps(variables, ensure_ascii=False))}"] if variables else []
        return given, f"ContentSid={quote_plus(texts['content_sid'])}"

    return said
