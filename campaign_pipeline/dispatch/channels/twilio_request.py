"""The request that creates a Twilio message: byte for byte the one that the SDK's `messages.create` makes.

Written out because the SDK takes longer to prepare a request than the request takes; a test compares the two.
"""

import json
from collections.abc import Callable, Iterator
from urllib.parse import quote_plus, urlencode

from aiohttp import encode_basic_auth
from twilio.rest import Client

from campaign_pipeline.dispatch.channels.base import Batch, Message


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

    def form(message: Message, recipient: str) -> bytes:
        variables, said = content(batch.texts(message))
        told = f"{begin}{quote_plus(quote_plus(message.message_id))}{end}"  # its query is quoted within it
        return "&".join((f"To={quote_plus(recipient)}", told, *_quoted(variables), origin, *_quoted(said))).encode()

    return form


def _quoted(fields: dict[str, str]) -> Iterator[str]:
    return (f"{name}={quote_plus(value)}" for name, value in fields.items())


def content(texts: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What a message with these parts says: the variables of a content template, and that template or a body."""
    if "content_sid" not in texts:
        return {}, {"Body": texts["body"]}
    variables = {part.removeprefix("var:"): text for part, text in texts.items() if part.startswith("var:")}
    given = {"ContentVariables": json.dumps(variables, ensure_ascii=False)} if variables else {}
    return given, {"ContentSid": texts["content_sid"]}
