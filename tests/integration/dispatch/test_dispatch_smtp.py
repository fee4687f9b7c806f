"""The SMTP channel against real servers: what it sends, and what it makes of every reply and of every silence."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch.channels import open_channel
from campaign_pipeline.dispatch.channels.base import Batch, Result
from campaign_pipeline.dispatch.channels.smtp_connection import MESSAGES_EACH
from campaign_pipeline.dispatch.channels.verp import Bounced, read_bounce_address, run_mark
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from campaign_pipeline.sandbox.ground_truth import address_hash, email_hash
from campaign_pipeline.sandbox.server import SandboxServer
from tests.integration.dispatch.peers import Connection, certificate, listens, peer

MakeBatch = Callable[..., Batch]
Says = dict[str, list[str]]
DROP = "drop"


@dataclass
class MailServer:
    """Answers each command with the next of its replies in `says`, and with a usual one when there are none left."""

    says: Says
    port: int = 0
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)


USUAL = {
    "GREETING": "220 ready",
    "EHLO": "250-mail.example\r\n250 AUTH PLAIN LOGIN",
    "AUTH": "235 2.7.0 welcome",
    "MAIL": "250 OK",
    "RCPT": "250 OK",
    "DATA": "354 go on",
    ".": "250 2.0.0 OK: queued as 4XyZ1",
    "RSET": "250 OK",
    "QUIT": "221 bye",
}


@contextmanager
def mail_server(**says: list[str]) -> Iterator[MailServer]:
    found = MailServer({("." if name == "END" else name): list(replies) for name, replies in says.items()})
    lock = threading.Lock()

    def reply(connection: Connection, command: str) -> bool:
        with lock:
            given = found.says.get(command) or [USUAL.get(command, "502 what?")]
            text = given.pop(0)
        if text == DROP:
            return False
        connection.send(text.encode() + b"\r\n")
        return not text.startswith("421")

    def script(connection: Connection) -> None:
        with connection.sock.makefile("rb") as lines:
            going_on = reply(connection, "GREETING")
            while going_on and (line := lines.readline()):
                command = line.decode().split()[0].upper()
                found.commands.append(line.decode().strip())
                going_on = reply(connection, command)
                if command == "DATA" and going_on and found.commands and "354" in USUAL["DATA"]:
                    if given := found.says.get("REFUSED_DATA"):
                        given.pop()
                        continue
                    mail = b"".join(iter(lines.readline, b".\r\n"))
                    found.mails.append(mail)
                    going_on = reply(connection, ".")

    with peer(script) as listening:
        found.port = int(listening.url.rpartition(":")[2])
        yield found
        found.connections = listening.connections


@pytest.fixture
def smtp(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"email_provider": "smtp", "request_timeout_seconds": 0.25, "smtp_concurrency": 1}
    )


def send(settings: Settings, batch: Batch, port: int) -> list[Result]:
    with open_channel(Channel.EMAIL, settings.model_copy(update={"smtp_port": port})) as channel:
        return channel.send(batch)


def kinds(results: list[Result]) -> list[Kind]:
    return [result.kind for result in results]


def test_a_message_arrives_as_mime_with_our_ids(smtp: Settings, make_batch: MakeBatch) -> None:
    batch = make_batch("email", 1, texts=[["Zoë", "<b>&amp;", "x" * 3000, ".\n.Zoë\n..\n"]])
    with mail_server() as server:
        (result,) = send(smtp, batch, server.port)
    assert result == Result(0, Kind.ACCEPTED, "", "4XyZ1")
    (wire,) = server.mails
    assert wire.isascii()
    assert max(map(len, wire.split(b"\r\n"))) <= 998
    assert b"\n" not in wire.replace(b"\r\n", b"")
    mail = message_from_bytes(re.sub(rb"(?m)^\.", b"", wire), policy=default)
    assert mail["To"] == "user0@example.com"
    assert mail["From"] == "Example Shop <news@example.com>"
    assert mail["Subject"] == "Hello Zoë!"
    message_id = "0" * 24
    assert mail["Message-ID"] == f"<{message_id}.1@example.com>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert re.fullmatch(r"<http://127\.0\.0\.1:8991/u/\S+>", mail["List-Unsubscribe"])
    ids = [mail[f"X-Campaign-{name}"] for name in ("Run", "Message", "Attempt")]
    assert ids == [batch.run_id, message_id, "1"]
    assert mail.get_content_type() == "multipart/alternative"
    text, html = (part.get_content().replace("\r\n", "\n") for part in mail.iter_parts())
    assert text == "Dear .\n.Zoë\n..\n\n"
    assert html == f"<p>Dear <b>&amp;, your code is {'x' * 3000}</p>\n"


def test_the_envelope_sender_names_the_attempt(smtp: Settings, make_batch: MakeBatch) -> None:
    settings = smtp.model_copy(update={"smtp_bounce_address": "bounce@mail.example.com"})
    with mail_server() as server:
        send(settings, make_batch("email", 1, attempt=3), server.port)
    (command,) = [line for line in server.commands if line.startswith("MAIL")]
    sender = command.removeprefix("MAIL FROM:")
    assert re.fullmatch(r"<bounce\+[a-z2-7]{40}@mail\.example\.com>", sender)
    named = Bounced("0" * 24, run_mark(make_batch("email").run_id), 3)
    assert read_bounce_address(sender, settings.link_secret) == named
    assert read_bounce_address(sender.upper(), settings.link_secret) == named


def test_a_connection_is_used_again_and_not_for_ever(smtp: Settings, make_batch: MakeBatch) -> None:
    with (
        mail_server() as server,
        open_channel(Channel.EMAIL, smtp.model_copy(update={"smtp_port": server.port})) as channel,
    ):
        for _ in range(2):
            assert set(kinds(channel.send(make_batch("email", 60)))) == {Kind.ACCEPTED}
    assert len(server.mails) == 120
    assert server.connections == -(-120 // MESSAGES_EACH)
    assert sum(line == "QUIT" for line in server.commands) == 2
    assert not any(line.startswith("NOOP") for line in server.commands)


NEVER = [
    ({"GREETING": [DROP]}, Kind.NOT_CONNECTED, "not_connected"),
    ({"GREETING": ["hello?"]}, Kind.NOT_CONNECTED, "not_connected"),
    ({"GREETING": ["421 4.3.2 busy"]}, Kind.THROTTLED, "smtp_421_4.3.2"),
    ({"GREETING": ["554 5.7.1 blocked"]}, Kind.CONFIG, "smtp_554_5.7.1"),
    ({"MAIL": ["451 4.7.0 later"]}, Kind.THROTTLED, "smtp_451_4.7.0"),
    ({"MAIL": ["550 5.7.1 not from you"]}, Kind.CONFIG, "smtp_550_5.7.1"),
    ({"MAIL": ["421 4.3.2 busy"]}, Kind.THROTTLED, "smtp_421_4.3.2"),
]


@pytest.mark.parametrize(("says", "kind", "code"), NEVER, ids=lambda value: str(value))
def test_what_is_the_same_for_all_messages_holds_the_others_back(
    says: Says, kind: Kind, code: str, smtp: Settings, make_batch: MakeBatch
) -> None:
    with mail_server(**says) as server:
        first, *others = send(smtp, make_batch("email", 3), server.port)
    assert (first.kind, first.code) == (kind, code)
    assert first.outcome in (Outcome.NOT_SENT, Outcome.THROTTLED)
    assert kinds(others) == [Kind.HELD_BACK] * 2
    assert server.mails == []


ONE = [
    ({"RCPT": ["550 5.1.1 <user0@example.com> unknown"]}, Kind.HARD_ADDRESS, "smtp_550_5.1.1"),
    ({"RCPT": ["550 no such user, or not for you"]}, Kind.BAD_RECIPIENT, "smtp_550"),
    ({"RCPT": ["552 5.2.2 full"]}, Kind.SOFT, "smtp_552_5.2.2"),
    ({"RCPT": ["450 4.2.0 greylisted"]}, Kind.THROTTLED, "smtp_450_4.2.0"),
    ({"RCPT": ["550 5.7.1 policy"]}, Kind.FILTERED, "smtp_550_5.7.1"),
    ({"END": ["554 5.7.1 spam"]}, Kind.FILTERED, "smtp_554_5.7.1"),
    ({"END": ["451 4.7.1 later"]}, Kind.THROTTLED, "smtp_451_4.7.1"),
    ({"MAIL": [DROP]}, Kind.NOT_CONNECTED, "connection_lost"),
    ({"RCPT": [DROP]}, Kind.NOT_CONNECTED, "connection_lost"),
    ({"DATA": [DROP]}, Kind.NOT_CONNECTED, "connection_lost"),
    ({"RCPT": ["well"]}, Kind.NOT_CONNECTED, "connection_lost"),
    ({"END": [DROP]}, Kind.NO_ANSWER, "no_answer"),
    ({"END": ["well"]}, Kind.NO_ANSWER, "no_answer"),
    ({"END": ["354 go on"]}, Kind.NO_ANSWER, "smtp_354"),
]


@pytest.mark.parametrize(("says", "kind", "code"), ONE, ids=lambda value: str(value))
def test_what_concerns_one_message_lets_the_others_go(
    says: Says, kind: Kind, code: str, smtp: Settings, make_batch: MakeBatch
) -> None:
    with mail_server(**says) as server:
        first, *others = send(smtp, make_batch("email", 3), server.port)
    assert (first.kind, first.code) == (kind, code)
    assert kinds(others) == [Kind.ACCEPTED] * 2
    assert len(server.mails) == (3 if "END" in says else 2)


def test_data_that_is_refused_leaves_the_connection_usable(smtp: Settings, make_batch: MakeBatch) -> None:
    with mail_server(DATA=["451 4.3.0 later"], REFUSED_DATA=["once"]) as server:
        first, second = send(smtp, make_batch("email", 2), server.port)
    assert (first.kind, second.kind) == (Kind.CAPACITY, Kind.HELD_BACK)
    assert "RSET" in server.commands


def test_a_server_that_has_had_enough_of_a_connection_gets_a_new_one(smtp: Settings, make_batch: MakeBatch) -> None:
    with mail_server(MAIL=["250 OK", "421 4.7.0 too many messages"]) as server:
        results = send(smtp, make_batch("email", 3), server.port)
    assert kinds(results) == [Kind.ACCEPTED, Kind.NOT_CONNECTED, Kind.ACCEPTED]
    assert server.connections == 2


def test_a_server_that_says_nothing_is_not_connected_to(smtp: Settings, make_batch: MakeBatch) -> None:
    with peer(listens) as server:
        (result,) = send(smtp, make_batch("email", 1), int(server.url.rpartition(":")[2]))
    assert result.kind == Kind.NOT_CONNECTED


def test_nobody_listens(smtp: Settings, make_batch: MakeBatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert kinds(send(smtp, make_batch("email", 2), port)) == [Kind.NOT_CONNECTED, Kind.HELD_BACK]


def test_a_name_that_does_not_exist(smtp: Settings, make_batch: MakeBatch) -> None:
    settings = smtp.model_copy(update={"smtp_host": "no-such-host.invalid", "live_sending": True})
    assert kinds(send(settings, make_batch("email", 1), 25)) == [Kind.NOT_CONNECTED]


@pytest.mark.parametrize("address", ["no address", "a@example.com\r\nRCPT TO:<b@example.com>", "a@x.com, b@x.com", ""])
def test_an_address_that_is_none_never_reaches_the_server(address: str, smtp: Settings, make_batch: MakeBatch) -> None:
    batch = make_batch("email", 2)
    bad = batch.messages[0]._replace(address=address)
    with mail_server() as server:
        results = send(smtp, Batch(**{**vars(batch), "messages": (bad, batch.messages[1])}), server.port)
    assert kinds(results) == [Kind.BAD_RECIPIENT, Kind.ACCEPTED]
    assert [line for line in server.commands if line.startswith("RCPT")] == ["RCPT TO:<user1@example.com>"]


def test_signing_in_and_being_refused(smtp: Settings, make_batch: MakeBatch) -> None:
    settings = smtp.model_copy(update={"smtp_username": "shop", "smtp_password": SecretStr("secret")})
    with mail_server() as server:
        assert kinds(send(settings, make_batch("email", 1), server.port)) == [Kind.ACCEPTED]
    assert any(line.startswith("AUTH") for line in server.commands)
    refuses = ["535 5.7.8 no"] * 4
    with mail_server(AUTH=refuses) as server:
        first, second = send(settings, make_batch("email", 2), server.port)
    assert (first.kind, first.code, second.kind) == (Kind.CONFIG, "smtp_535_5.7.8", Kind.HELD_BACK)


@pytest.mark.parametrize(
    "update", [{"smtp_security": "starttls"}, {"smtp_username": "shop", "smtp_password": SecretStr("secret")}]
)
def test_what_the_server_does_not_offer_is_a_matter_of_configuration(
    update: dict[str, object], smtp: Settings, make_batch: MakeBatch
) -> None:
    with mail_server(EHLO=["250 mail.example"] * 3) as server:
        (result,) = send(smtp.model_copy(update=update), make_batch("email", 1), server.port)
    assert (result.kind, result.code) == (Kind.CONFIG, "not_offered")


@pytest.mark.parametrize("trusted", [True, False])
def test_the_server_s_certificate_is_verified(
    trusted: bool, smtp: Settings, make_batch: MakeBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, tls = certificate(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    seen: list[bytes] = []

    def script(connection: Connection) -> None:
        connection.send(b"220 ready\r\n")
        with connection.sock.makefile("rb") as lines:
            while line := lines.readline():
                seen.append(line)
                connection.send({b"DATA": b"354 go on"}.get(line[:4], b"250 OK") + b"\r\n")
                if line[:4] == b"DATA":
                    for _ in iter(lines.readline, b".\r\n"):
                        pass
                    connection.send(b"250 OK\r\n")

    settings = smtp.model_copy(update={"smtp_security": "tls", "request_timeout_seconds": 5.0})
    with peer(script, tls) as server:
        results = send(settings, make_batch("email", 1), int(server.url.rpartition(":")[2]))
    assert kinds(results) == [Kind.ACCEPTED if trusted else Kind.NOT_CONNECTED]
    assert bool(seen) == trusted


def test_without_live_sending_nothing_leaves_this_machine(smtp: Settings) -> None:
    with pytest.raises(Refused, match=r"nothing is sent to 'mail\.example\.com'"):
        open_channel(Channel.EMAIL, smtp.model_copy(update={"smtp_host": "mail.example.com"}))


def test_a_password_is_not_sent_in_plain_text(smtp: Settings) -> None:
    update = {"smtp_host": "mail.example.com", "live_sending": True, "smtp_username": "shop"}
    with pytest.raises(InvalidInput, match="the SMTP password would be readable"):
        open_channel(Channel.EMAIL, smtp.model_copy(update=update))


SANDBOX = {
    FaultKind.REFUSE_BEFORE_ACCEPT: (Kind.NO_ANSWER, 0),
    FaultKind.ACCEPT_THEN_DROP: (Kind.NO_ANSWER, 1),
    FaultKind.TRUNCATED_BODY: (Kind.NO_ANSWER, 1),
    FaultKind.MALFORMED: (Kind.NO_ANSWER, 1),
    FaultKind.SLOW: (Kind.NO_ANSWER, 1),
    FaultKind.THROTTLE_429: (Kind.THROTTLED, 0),
    FaultKind.ERROR_500_THOUGH_ACCEPTED: (Kind.NO_ANSWER, 1),
    FaultKind.UNAVAILABLE_503: (Kind.THROTTLED, 0),
    FaultKind.REDIRECT_302: (Kind.THROTTLED, 0),
    FaultKind.UNAUTHORIZED_401: (Kind.CONFIG, 0),
}


@pytest.mark.parametrize("fault", list(FaultKind))
def test_each_fault_of_the_sandbox_is_what_it_is(
    fault: FaultKind, smtp: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    sandbox.control.fault(Fault(kind=fault, provider="smtp", count=1, seconds=2.0))
    (result,) = send(smtp, make_batch("email", 1), sandbox.control.smtp_port())
    assert (result.kind, sandbox.sends().height) == SANDBOX[fault]


def test_the_sandbox_reads_what_was_sent(smtp: Settings, sandbox: SandboxServer, make_batch: MakeBatch) -> None:
    batch = make_batch("email", 20)
    settings = smtp.model_copy(update={"smtp_concurrency": 4, "request_timeout_seconds": 5.0})
    results = send(settings, batch, sandbox.control.smtp_port())
    sends = sandbox.sends().sort("message_id")
    assert set(kinds(results)) == {Kind.ACCEPTED}
    assert {result.provider_id for result in results} == set(sends["sid"])
    assert sends["message_id"].to_list() == [message.message_id for message in batch.messages]
    assert sends["to_hash"].to_list() == [address_hash(message.address) for message in batch.messages]
    texts = [batch.texts(message) for message in batch.messages]
    assert sends["body_hash"].to_list() == [email_hash(t["subject"], [t["text"], t["html"]]) for t in texts]
    assert (set(sends["run_id"]), set(sends["attempt"]), set(sends["channel"])) == ({batch.run_id}, {1}, {"email"})
