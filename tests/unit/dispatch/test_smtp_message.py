"""Messages as MIME: whatever contacts and authors put in, nothing leaves its place."""

import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.contacts.addresses import normalise_email
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.dispatch.channels.base import Batch, Message
from campaign_pipeline.dispatch.channels.smtp_message import compose, sender_of
from campaign_pipeline.messages.skeleton import Skeleton
from campaign_pipeline.messages.skeletons import MessageSkeleton

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SLOT = Skeleton(("", ""))
EMAIL = MessageSkeleton((("subject", SLOT), ("html", SLOT), ("text", SLOT)))
HEADERS = [
    "From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "X-Campaign-Run",
    "X-Campaign-Message", "X-Campaign-Attempt", "Content-Type", "MIME-Version",
]  # fmt: skip
URL = "https://links.example.com/u/spring-sale--20260302t090000z." + "a" * 24 + "." + "0" * 32
sayings = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
nasty = st.sampled_from(
    ["x\r\nBcc: eve@example.com", "x\n\nbody", "\r\n.\r\n", "\x85\u2028Bcc: e@x.com", "=?utf-8?q?x?="]
)


def composed(
    subject: str, html: str, text: str, address: str = "ann@example.com", run: str = "sale--1", relay: str = ""
) -> bytes:
    batch = Batch(run, "sale", "plain", 0, 2, EMAIL, ())
    message = Message(0, "a" * 24, address, [subject, html, text])
    return compose(batch, message, sender_of("news@example.com", 'Zoë\'s, "Shop"'), URL, NOW, relay)


@given(sayings | nasty, sayings | nasty, sayings | nasty)
def test_nothing_that_is_said_becomes_a_header(subject: str, html: str, text: str) -> None:
    wire = composed(subject, html, text)
    assert wire.isascii()
    assert wire.endswith(b"\r\n")
    assert b"\n" not in wire.replace(b"\r\n", b"")
    assert b"\r" not in wire.replace(b"\r\n", b"")
    mail = message_from_bytes(wire, policy=default)
    assert sorted(mail.keys()) == sorted(HEADERS)
    assert mail["To"] == "ann@example.com"
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=200))
def test_a_subject_of_one_word_arrives_as_it_was_written(subject: str) -> None:
    if not subject.startswith("=?"):
        assert message_from_bytes(composed(subject, "x", "x"), policy=default)["Subject"] == subject


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"), max_size=3000))
def test_texts_arrive_as_they_were_written(text: str) -> None:
    mail = message_from_bytes(composed("x", text, text), policy=default)
    for part in mail.iter_parts():
        assert part.get_content().replace("\r\n", "\n") == f"{text}\n"


@given(st.emails())
def test_every_address_that_contacts_can_have_can_be_written(raw: str) -> None:
    address = normalise_email(raw)
    if address is not None:
        mail = message_from_bytes(composed("x", "x", "x", address), policy=default)
        assert [one.addr_spec for one in mail["To"].addresses] == [address]


def test_ids_and_links_are_not_folded_or_encoded() -> None:
    run = "a" * 50 + "--20260302t090000z"
    lines = composed("x", "x", "x", run=run).split(b"\r\n")
    assert f"List-Unsubscribe: <{URL}>".encode() in lines
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines
    assert f"X-Campaign-Run: {run}".encode() in lines
    assert f"Message-ID: <{'a' * 24}.2@example.com>".encode() in lines


def test_date_sender_and_line_lengths() -> None:
    wire = composed("ü" * 500, "<p>" + "x" * 5000, "y" * 5000)
    mail = message_from_bytes(wire, policy=default)
    assert parsedate_to_datetime(mail["Date"]) == NOW
    (sender,) = mail["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ('Zoë\'s, "Shop"', "news@example.com")
    assert max(len(line) for line in wire.split(b"\r\n") if not line.startswith(b"List-")) <= 78
    assert re.search(rb"Content-Transfer-Encoding: (base64|quoted-printable)", wire)


@pytest.mark.parametrize("address", ["news", "", "a@b\r\nBcc: c@d", "@example.com"])
def test_a_sender_that_is_none(address: str) -> None:
    with pytest.raises(InvalidInput, match="CAMPAIGN_EMAIL_FROM is not an address"):
        sender_of(address, "Shop")


@pytest.mark.parametrize(
    ("relay", "expected"),
    [
        ("mailgun", {"X-Mailgun-Variables": '{"run_id":"sale--1","message_id":"%s","attempt":"2"}' % ("a" * 24)}),
        (
            "postmark",
            {
                "X-PM-Metadata-run_id": "sale--1",
                "X-PM-Metadata-message_id": "a" * 24,
                "X-PM-Metadata-attempt": "2",
            },
        ),
        ("ses", {"X-SES-MESSAGE-TAGS": f"run_id=sale--1, message_id={'a' * 24}, attempt=2"}),
    ],
)
def test_a_relay_finds_our_ids_where_it_looks_for_them(relay: str, expected: dict[str, str]) -> None:
    mail = message_from_bytes(composed("x", "x", "x", relay=relay), policy=default)
    assert {name: value for name, value in mail.items() if name not in HEADERS} == expected
