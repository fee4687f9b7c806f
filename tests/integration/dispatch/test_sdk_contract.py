"""Our requests are those that the SDKs make, and what both sides say is what the providers' specifications promise."""

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from jsonschema import Draft202012Validator
from sendgrid.helpers.mail import (
    Category,
    Content,
    CustomArg,
    Email,
    Header,
    Mail,
    Personalization,
    SubscriptionTracking,
    Substitution,
    TrackingSettings,
)

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.channels import open_channel
from campaign_pipeline.dispatch.channels.base import Batch, Doubt, Result
from campaign_pipeline.dispatch.channels.transport import Answer, Transport
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.messages.links import unsubscribe_token, unsubscribe_url
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from campaign_pipeline.sandbox.server import SandboxServer
from tests.integration.openapi import check, document, response
from tests.integration.sandbox_clients import sendgrid, twilio

MakeBatch = Callable[..., Batch]
OF_THE_CONNECTION = {"host", "connection", "accept-encoding", "content-length"}
"""Headers that say how a request travels, not what it asks."""

TWILIO, MESSAGES = "twilio_api_v2010.json", "/2010-04-01/Accounts/{AccountSid}/Messages.json"
MAIL, MAIL_SEND = "tsg_mail_v3.json", "/v3/mail/send"
CREATED = (201, {}, json.dumps({"sid": "SM" + "a" * 32}).encode())


def send(name: Channel, settings: Settings, batch: Batch) -> list[Result]:
    with open_channel(name, settings) as channel:
        return channel.send(batch)


def headers(seen: Any) -> dict[str, str]:
    named = {name.lower(): value for name, value in seen.headers.items()}
    return {name: value for name, value in named.items() if name not in OF_THE_CONNECTION}


# The SDKs make the same requests.

TRICKY = 'Zoë & "Bob" = 100% +1 ~ / ? # {{1}}\n\t€ 🎉'


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (Channel.SMS, ["Ann"]),
        (Channel.SMS, [TRICKY]),
        (Channel.SMS, ["SG.looks-like-a.key"]),
        (Channel.WHATSAPP, ["Ann", "7"]),
        (Channel.WHATSAPP, [TRICKY, ""]),
    ],
)
def test_a_text_is_byte_for_byte_the_request_of_the_twilio_sdk(
    name: Channel, texts: list[str], to_wire: Settings, wire: Any, make_batch: MakeBatch
) -> None:
    wire.default = CREATED
    batch = make_batch(name, 1, texts=[texts], attempt=2)
    assert send(name, to_wire, batch)[0].kind == Kind.ACCEPTED
    prefix, origin = ("whatsapp:", to_wire.whatsapp_from) if name == Channel.WHATSAPP else ("", to_wire.twilio_from)
    (message,) = batch.messages
    parts = batch.texts(message)
    variables = {part.removeprefix("var:"): text for part, text in parts.items() if part.startswith("var:")}
    said = (
        {"content_sid": parts["content_sid"], "content_variables": json.dumps(variables, ensure_ascii=False)}
        if name == Channel.WHATSAPP
        else {"body": parts["body"]}
    )
    client = twilio(wire.url, to_wire.twilio_auth_token.get_secret_value())
    client.messages.create(
        to=prefix + message.address,
        from_=prefix + origin,
        status_callback=f"{to_wire.public_url}/webhooks/twilio/status"
        f"?run_id={batch.run_id}&message_id={message.message_id}&attempt=2",
        **said,
    )
    ours, the_sdks = wire.seen
    assert ours.body == the_sdks.body
    assert (ours.method, ours.path) == (the_sdks.method, the_sdks.path)
    assert headers(ours) == headers(the_sdks)


def test_a_mail_is_the_request_of_the_sendgrid_sdk(
    to_wire: Settings, wire: Any, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda _bytes: "0123456789ab")
    texts = [["Ann", "Ann & Co", "1", "Ann"], [TRICKY, TRICKY, "SG.looks-like-a.key", "Bob"]]
    batch = make_batch("email", 2, texts=texts, attempt=3)
    assert {result.kind for result in send(Channel.EMAIL, to_wire, batch)} == {Kind.ACCEPTED}
    sendgrid(wire.url, to_wire.sendgrid_api_key.get_secret_value()).send(as_the_sdk_builds_it(batch, to_wire))
    ours, the_sdks = wire.seen
    assert json.loads(ours.body) == json.loads(the_sdks.body)
    assert (ours.method, ours.path) == (the_sdks.method, the_sdks.path)
    assert headers(ours) == headers(the_sdks)


def as_the_sdk_builds_it(batch: Batch, settings: Settings) -> Mail:
    mail = Mail()
    mail.from_email = Email(settings.email_from, settings.email_from_name)
    tags = [f"-0123456789ab{part}{slot}-" for part, cut in batch.skeleton.parts for slot in range(cut.slots)]
    texts = batch.skeleton.assemble(tags)
    mail.subject = texts["subject"]
    mail.content = [Content("text/plain", texts["text"]), Content("text/html", texts["html"])]
    mail.category = [Category("variant:plain"), Category("spring-sale")]  # the helper puts the newest first
    mail.tracking_settings = TrackingSettings(subscription_tracking=SubscriptionTracking(enable=False))
    for message in reversed(batch.messages):
        token = unsubscribe_token(settings.link_secret, batch.run_id, message.message_id)
        person = Personalization()
        person.add_to(Email(message.address))
        person.add_header(Header("List-Unsubscribe", f"<{unsubscribe_url(settings.public_url, token)}>"))
        person.add_header(Header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
        for name, value in (("run_id", batch.run_id), ("message_id", message.message_id), ("attempt", "3")):
            person.add_custom_arg(CustomArg(name, value))
        for tag, fragment in zip(tags, message.fragments, strict=True):
            person.add_substitution(Substitution(tag, fragment))
        mail.add_personalization(person)
    return mail


# Both sides keep to the specifications.


class Exchange:
    """Every request that the channels make, with its answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[str, str, bytes | None, Answer]] = []
        whole = Transport.request

        async def noted(
            transport: Transport, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None
        ) -> Answer:
            answer = await whole(transport, method, path, headers=headers, body=body)
            self.seen.append((method, path, body, answer))
            return answer

        monkeypatch.setattr(Transport, "request", noted)


READABLE = set(FaultKind) - {FaultKind.MALFORMED, FaultKind.REDIRECT_302, FaultKind.SLOW}


def test_every_request_and_every_answer_of_twilio_is_as_specified(
    to_sandbox: Settings,
    sandbox: SandboxServer,
    make_batch: MakeBatch,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = shared_data / "openapi" / TWILIO
    exchange = Exchange(monkeypatch)
    batches = {
        Channel.SMS: make_batch("sms", 3, texts=[["Ann"], [TRICKY], ["x" * 1600]]),  # the last one is too long
        Channel.WHATSAPP: make_batch("whatsapp", 2),
    }
    for name, batch in batches.items():
        with open_channel(name, to_sandbox) as channel:
            channel.send(batch)
            for kind in READABLE:
                sandbox.control.fault(Fault(kind=kind, provider="twilio", count=1, seconds=0))
                channel.send(make_batch(name, 1))
            now = to_sandbox.clock()
            channel.lookup([Doubt(batch, message, now) for message in batch.messages], set())
    asked = document(file)["paths"][MESSAGES]
    form = asked["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    statuses = set[int]()
    for method, path, body, answer in exchange.seen:
        target = urlsplit(path)
        statuses.add(answer.status)
        assert target.path == MESSAGES.format(AccountSid=to_sandbox.twilio_account_sid)
        if method == "POST":
            fields = dict(parse_qsl((body or b"").decode(), keep_blank_values=True, strict_parsing=True))
            check(file, form, fields)
            assert fields.keys() <= form["properties"].keys()
        else:
            fields = dict(parse_qsl(target.query, strict_parsing=True))
            assert fields.keys() <= {parameter["name"] for parameter in asked["get"]["parameters"]}
        if answer.status in (200, 201):
            check(file, response(file, MESSAGES, method.lower(), answer.status), json.loads(answer.body))
        else:
            assert {"code", "message", "more_info", "status"} == json.loads(answer.body).keys()
    assert statuses == {200, 201, 400, 401, 429, 500, 503}


def test_every_request_and_every_answer_of_sendgrid_is_as_specified(
    to_sandbox: Settings,
    sandbox: SandboxServer,
    make_batch: MakeBatch,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = shared_data / "openapi" / MAIL
    exchange = Exchange(monkeypatch)
    bad = make_batch("email", 2)
    bad = Batch(**{**vars(bad), "messages": (bad.messages[0], bad.messages[1]._replace(address="nobody"))})
    with open_channel(Channel.EMAIL, to_sandbox) as channel:
        channel.send(make_batch("email", 3, texts=[["A", "A", "1", "A"], ["B", "B", "x" * 11_000, "B"], [TRICKY] * 4]))
        channel.send(bad)
        for kind in READABLE:
            sandbox.control.fault(Fault(kind=kind, provider="sendgrid", count=1, seconds=0))
            channel.send(make_batch("email", 2))
    schema = document(file)["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    answers = document(file)["paths"][MAIL_SEND]["post"]["responses"]
    statuses = set[int]()
    for method, path, body, answer in exchange.seen:
        assert (method, path) == ("POST", MAIL_SEND)
        check(file, schema, json.loads(body or b""))
        statuses.add(answer.status)
        if answer.status == 202:
            assert (answer.body, bool(answer.headers["X-Message-Id"])) == (b"", True)
        elif str(answer.status) in answers:
            check(file, response(file, MAIL_SEND, "post", answer.status), json.loads(answer.body))
        else:
            assert json.loads(answer.body).keys() == {"errors"}
    assert statuses == {202, 400, 401, 429, 500, 503}


def test_the_specification_refuses_what_is_wrong(shared_data: Path) -> None:
    """The checks above can fail."""
    document_ = document(shared_data / "openapi" / MAIL)
    schema = document_["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**schema, "components": document_["components"]})
    assert list(validator.iter_errors({"personalizations": [], "from": {}, "subject": 1}))


# Traps of the SDKs that we went around.


def test_nobody_sees_the_address_of_another(to_wire: Settings, wire: Any, make_batch: MakeBatch) -> None:
    send(Channel.EMAIL, to_wire, make_batch("email", 5))
    people = json.loads(wire.seen[0].body)["personalizations"]
    assert [person["to"] for person in people] == [[{"email": f"user{n}@example.com"}] for n in range(5)]
    assert all(person.keys() == {"to", "headers", "custom_args", "substitutions"} for person in people)


def test_a_text_that_looks_like_a_key_is_sent(to_wire: Settings, wire: Any, make_batch: MakeBatch) -> None:
    key = "SG.1234567890.abcdefghij"
    texts = [[key, key, "x" * 11_000, key]]  # too long for substitutions: the content itself
    assert send(Channel.EMAIL, to_wire, make_batch("email", 1, texts=texts))[0].kind == Kind.ACCEPTED
    assert key in json.loads(wire.seen[0].body)["content"][0]["value"]


def test_every_request_has_the_same_headers(to_wire: Settings, wire: Any, make_batch: MakeBatch) -> None:
    with open_channel(Channel.EMAIL, to_wire) as channel:
        for _ in range(3):
            channel.send(make_batch("email", 2))
    assert headers(wire.seen[0]) == headers(wire.seen[1]) == headers(wire.seen[2])


@pytest.mark.parametrize("name", [Channel.EMAIL, Channel.SMS])
def test_no_time_of_sending_is_left_to_the_provider(
    name: Channel, to_wire: Settings, wire: Any, make_batch: MakeBatch
) -> None:
    wire.default = (202, {"X-Message-Id": "a"}, b"") if name == Channel.EMAIL else CREATED
    send(name, to_wire, make_batch(name, 1))
    assert b"send_at" not in wire.seen[0].body.lower()
    assert b"sendat" not in wire.seen[0].body.lower()


@pytest.mark.parametrize("name", [Channel.EMAIL, Channel.SMS])
def test_nothing_personal_is_logged_however_much_is_logged(
    name: Channel, to_wire: Settings, wire: Any, make_batch: MakeBatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    batch = make_batch(name, 2)
    with open_channel(name, to_wire) as channel:
        for answer in ((202, {"X-Message-Id": "a"}, b""), (400, {}, b'{"code": 21211, "message": "+12125550000"}')):
            wire.default = answer
            channel.send(batch)
        channel.lookup([Doubt(batch, message, to_wire.clock()) for message in batch.messages], set())
    for secret in ("example.com", "12125550000", "Ann", to_wire.sendgrid_api_key.get_secret_value()):
        assert secret not in caplog.text
