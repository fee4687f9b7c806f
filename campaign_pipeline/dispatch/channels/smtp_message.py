"""A message as MIME (RFC 5322): text and HTML as alternatives, our ids in its headers, one-click unsubscribe.

All of it is ASCII in lines of at most 76 characters (RFC 2047 for headers; quoted-printable or base64 for what needs
it), so that any server takes it as it is.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime

import orjson

from campaign_pipeline.contacts.addresses import normalise_email
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.dispatch.channels.base import Batch, Message
from campaign_pipeline.messages.links import list_unsubscribe_headers

MESSAGE, RUN, ATTEMPT = "X-Campaign-Message", "X-Campaign-Run", "X-Campaign-Attempt"
"""Headers with our ids: a bounce quotes them."""

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
"""What a header cannot hold, or some reader takes for the end of a line."""


class _Policy(EmailPolicy):
    """The library writes long words as encoded words, which is wrong for ids and URLs: ours stay as they are."""

    def fold_binary(self, name: str, value: str) -> bytes:
        if name in _AS_THEY_ARE:
            return f"{name}: {value}\r\n".encode("ascii")
        return super().fold_binary(name, value)


MAILGUN, POSTMARK, SES = "X-Mailgun-Variables", "X-PM-Metadata-", "X-SES-MESSAGE-TAGS"
"""Headers that a relay takes out and hands back with its events."""

_IDS = ("run_id", "message_id", "attempt")
_AS_THEY_ARE = frozenset(
    {
        *("Message-ID", MESSAGE, RUN, ATTEMPT, "List-Unsubscribe", "List-Unsubscribe-Post", MAILGUN, SES),
        *(f"{POSTMARK}{name}" for name in _IDS),
    }
)
_POLICY = _Policy(linesep="\r\n", cte_type="7bit", raise_on_defect=True)


def sender_of(address: str, name: str) -> Address:
    """The From of all messages; InvalidInput if the settings do not hold one."""
    known = normalise_email(address)
    if known is None:
        raise InvalidInput("CAMPAIGN_EMAIL_FROM is not an address", "Give it as news@example.com.")
    return Address(_BREAKS.sub(" ", name).strip(), addr_spec=known)


def message_id_header(message_id: str, attempt: int, domain: str) -> str:
    """The Message-ID of an attempt."""
    return f"<{message_id}.{attempt}@{domain}>"


def compose(
    batch: Batch, message: Message, sender: Address, unsubscribe_url: str, now: datetime, relay: str = ""
) -> bytes:
    """The message of the batch as it goes over the wire, with CRLF; its address is one that normalise_email gave.

    `relay`: whose server takes it (CAMPAIGN_SMTP_RELAY), so that its events name our message.
    """
    texts = batch.texts(message)
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    mail["To"] = Address(addr_spec=message.address)
    mail["Subject"] = _BREAKS.sub(" ", texts["subject"])
    mail["Date"] = format_datetime(now)
    headers = _headers(batch, message, sender.domain, unsubscribe_url)
    for name, value in {**headers, **_for_relay(relay, batch, message)}.items():
        mail[name] = value
    mail.set_content(texts.get("text", "") + "\n")  # MIME ends its texts with one, whether they have one or not
    if "html" in texts:
        mail.add_alternative(texts["html"] + "\n", subtype="html")
    return mail.as_bytes()


def _headers(batch: Batch, message: Message, domain: str, unsubscribe_url: str) -> Mapping[str, str]:
    return {
        "Message-ID": message_id_header(message.message_id, batch.attempt, domain),
        **list_unsubscribe_headers(unsubscribe_url),
        RUN: batch.run_id,
        MESSAGE: message.message_id,
        ATTEMPT: str(batch.attempt),
    }


def _for_relay(relay: str, batch: Batch, message: Message) -> Mapping[str, str]:
    ids = dict(zip(_IDS, (batch.run_id, message.message_id, str(batch.attempt)), strict=True))
    match relay:
        case "mailgun":
            return {MAILGUN: orjson.dumps(ids).decode()}
        case "postmark":
            return {f"{POSTMARK}{name}": value for name, value in ids.items()}
        case "ses":
            return {SES: ", ".join(f"{name}={value}" for name, value in ids.items())}
        case _:
            return {}
