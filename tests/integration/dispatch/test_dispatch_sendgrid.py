"""The SendGrid channel through the real SDK: what it sends, and what it makes of every answer."""

import logging
import socket
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from jinja2 import Environment
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch.channels import open_channel
from campaign_pipeline.dispatch.channels.base import Batch, Message, Result
from campaign_pipeline.dispatch.channels.sendgrid_request import request_bodies
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.messages.environment import html_environment, single_line_environment
from campaign_pipeline.messages.skeleton import cut
from campaign_pipeline.messages.skeletons import MessageSkeleton
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from campaign_pipeline.sandbox.ground_truth import email_hash
from campaign_pipeline.sandbox.server import SandboxServer
from tests.integration.dispatch.peers import in_plain, listens, peer

MakeBatch = Callable[..., Batch]


def send(settings: Settings, batch: Batch) -> list[Result]:
    with open_channel(Channel.EMAIL, settings) as channel:
        return channel.send(batch)


def kinds(results: list[Result]) -> set[Kind]:
    return {result.kind for result in results}


def test_a_batch_is_one_request_and_everybody_gets_the_assembled_text(
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    batch = make_batch("email", 50)
    results = send(to_sandbox, batch)
    assert kinds(results) == {Kind.ACCEPTED}
    assert len({result.provider_id for result in results}) == 1
    sends = sandbox.sends()
    assert sends["message_id"].to_list() == [message.message_id for message in batch.messages]
    assert set(sends["run_id"]) == {batch.run_id}
    assert set(sends["attempt"]) == {1}
    expected = []
    for message in batch.messages:
        texts = batch.texts(message)
        expected.append(email_hash(texts["subject"], [texts["text"], texts["html"]]))
    assert sends["body_hash"].to_list() == expected


@pytest.mark.parametrize(
    "name", ["-html0-", "-0html0-", "{{0}}", "%name%", "<b>&amp;", "-000000000000html0-", "\\1", "Ann"]
)
def test_a_contact_named_like_a_tag_does_no_harm(
    name: str, to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    batch = make_batch("email", 2, texts=[[name, name, name, name], ["Bob", "Bob", name, "Bob"]])
    assert kinds(send(to_sandbox, batch)) == {Kind.ACCEPTED}
    hashes = [email_hash(f"Hello {a}!", [f"Dear {a}", f"<p>Dear {a}, your code is {name}</p>"]) for a in (name, "Bob")]
    assert sandbox.sends()["body_hash"].to_list() == hashes


def test_the_text_at_the_receiving_side_is_what_jinja_renders(
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    sources = {"subject": "Hi {{ contact.name }}", "html": "<p>{{ contact.name }}{% if contact.vip %} *{% endif %}</p>"}
    environments = {"subject": single_line_environment(), "html": html_environment()}
    people = [{"name": "<O'Brien & -html0->", "vip": True}, {"name": "Zoë 🎉", "vip": False}]
    cuts = {part: cut(environments[part], source, part) for part, source in sources.items()}
    texts = [[f for part in sources for f in cuts[part].fragments({"contact": person})] for person in people]
    skeleton = MessageSkeleton(tuple((part, one.skeleton) for part, one in cuts.items()))
    messages = tuple(Message(n, f"{n:024x}", f"user{n}@example.com", text) for n, text in enumerate(texts))
    batch = Batch("spring-sale--20260302t090000z", "spring-sale", "plain", 0, 1, skeleton, messages)
    assert kinds(send(to_sandbox, batch)) == {Kind.ACCEPTED}

    def render(environment: Environment, source: str, person: dict[str, Any]) -> str:
        return environment.from_string(source).render(contact=person)

    whole = [
        {part: render(environments[part], source, person) for part, source in sources.items()} for person in people
    ]
    assert sandbox.sends()["body_hash"].to_list() == [email_hash(one["subject"], [one["html"]]) for one in whole]


def test_fragments_beyond_the_limit_go_as_full_text_in_a_request_of_their_own(
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    long = "é" * 6000
    batch = make_batch("email", 3, texts=[["A", "A", "1", "A"], ["B", "B", long, "B"], ["C", "C", "3", "C"]])
    results = send(to_sandbox, batch)
    assert kinds(results) == {Kind.ACCEPTED}
    assert len({result.provider_id for result in results}) == 2
    hashes = dict(sandbox.sends().select("message_id", "body_hash").iter_rows())
    for message in batch.messages:
        texts = batch.texts(message)
        assert hashes[message.message_id] == email_hash(texts["subject"], [texts["text"], texts["html"]])


def test_requests_are_valid_by_the_provider_s_specification(
    make_batch: MakeBatch, openapi: Callable[[str], Any]
) -> None:
    spec = openapi("tsg_mail_v3.json")
    schema = spec["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**schema, "components": spec["components"]})
    sender = {"email": "news@example.com", "name": "Shop"}
    batch = make_batch("email", 3, texts=[["A", "A", "1", "A"], ["B", "B", "x" * 10_000, "B"], ["", "", "", ""]])
    bodies = [
        orjson.loads(body)
        for _, body in request_bodies(batch, sender, lambda _, ids: [f"https://x.example/u/{one}" for one in ids])
    ]
    assert len(bodies) == 2
    for body in bodies:
        assert list(validator.iter_errors(body)) == []
    person = bodies[0]["personalizations"][0]
    assert person["to"] == [{"email": "user0@example.com"}]
    assert person["custom_args"] == {"run_id": batch.run_id, "message_id": "0" * 24, "attempt": "1"}
    assert person["headers"] == {
        "List-Unsubscribe": f"<https://x.example/u/{'0' * 24}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert bodies[0]["categories"] == ["spring-sale", "variant:plain"]
    assert [content["type"] for content in bodies[0]["content"]] == ["text/plain", "text/html"]


def test_tags_differ_by_part_and_by_request(make_batch: MakeBatch) -> None:
    def tags() -> set[str]:
        ((_, body),) = request_bodies(
            make_batch("email"), {"email": "a@example.com"}, lambda _, ids: ["https://x.example" for _ in ids]
        )
        return set(orjson.loads(body)["personalizations"][0]["substitutions"])

    first, second = tags(), tags()
    assert len(first) == 4
    assert first.isdisjoint(second)


@pytest.mark.parametrize(
    ("fault", "outcome", "code", "sent"),
    [
        (FaultKind.REFUSE_BEFORE_ACCEPT, Outcome.IN_DOUBT, "no_answer", 0),
        (FaultKind.ACCEPT_THEN_DROP, Outcome.IN_DOUBT, "no_answer", 2),
        (FaultKind.TRUNCATED_BODY, Outcome.IN_DOUBT, "no_answer", 2),
        (FaultKind.MALFORMED, Outcome.IN_DOUBT, "http_202", 2),
        (FaultKind.SLOW, Outcome.IN_DOUBT, "no_answer", 2),
        (FaultKind.ERROR_500_THOUGH_ACCEPTED, Outcome.IN_DOUBT, "http_500", 2),
        (FaultKind.UNAVAILABLE_503, Outcome.IN_DOUBT, "http_503", 0),
        (FaultKind.REDIRECT_302, Outcome.IN_DOUBT, "http_302", 0),
        (FaultKind.THROTTLE_429, Outcome.THROTTLED, "http_429", 0),
        (FaultKind.UNAUTHORIZED_401, Outcome.NOT_SENT, "http_401", 0),
    ],
)
def test_every_fault_becomes_its_outcome(
    fault: FaultKind, outcome: Outcome, code: str, sent: int,
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch,
) -> None:  # fmt: skip
    sandbox.control.fault(Fault(kind=fault, provider="sendgrid", count=1, seconds=3))
    results = send(to_sandbox, make_batch("email"))
    assert [(result.outcome, result.code) for result in results] == [(outcome, code)] * 2
    assert sandbox.sends().height == sent
    if fault == FaultKind.THROTTLE_429:
        assert all(1 < result.retry_after <= 3 for result in results)


def test_a_refused_connection_and_an_unknown_host_are_not_sent(
    settings: Settings, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, not listening: refuses
        taken.bind(("127.0.0.1", 0))
        refusing = settings.model_copy(update={"sendgrid_base_url": f"http://127.0.0.1:{taken.getsockname()[1]}"})
        assert kinds(send(refusing, make_batch("email"))) == {Kind.NOT_CONNECTED}

    def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    by_name = settings.model_copy(update={"sendgrid_base_url": "http://localhost:8990"})
    assert kinds(send(by_name, make_batch("email"))) == {Kind.NOT_CONNECTED}


def test_a_connect_timeout_is_not_sent_and_a_tls_failure_neither(settings: Settings, make_batch: MakeBatch) -> None:
    for script in (listens, in_plain):
        with peer(script) as server:
            url = server.url.replace("http:", "https:")  # the handshake does not end, or fails
            impatient = settings.model_copy(update={"sendgrid_base_url": url, "request_timeout_seconds": 0.3})
            assert kinds(send(impatient, make_batch("email"))) == {Kind.NOT_CONNECTED}


def test_a_read_timeout_is_in_doubt(settings: Settings, make_batch: MakeBatch) -> None:
    with peer(listens) as server:
        impatient = settings.model_copy(update={"sendgrid_base_url": server.url, "request_timeout_seconds": 0.3})
        assert kinds(send(impatient, make_batch("email"))) == {Kind.NO_ANSWER}
        assert len(server.requests) == 1


def test_a_dropped_connection_is_in_doubt(to_wire: Settings, wire: Any, make_batch: MakeBatch) -> None:
    wire.answers = [None]
    assert kinds(send(to_wire, make_batch("email"))) == {Kind.NO_ANSWER}
    assert len(wire.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, to_wire: Settings, wire: Any, make_batch: MakeBatch) -> None:
    wire.answers = [(status, {"Location": f"{wire.url}/elsewhere"}, b"")]
    assert kinds(send(to_wire, make_batch("email"))) == {Kind.NO_ANSWER}
    assert [seen.method for seen in wire.seen] == ["POST"]


def test_a_400_for_one_recipient_refuses_that_one_and_holds_back_the_others(
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    batch = make_batch("email", 3)
    bad = batch.messages[1]._replace(address="not an address")
    results = send(to_sandbox, Batch(**{**vars(batch), "messages": (batch.messages[0], bad, batch.messages[2])}))
    assert [result.kind for result in results] == [Kind.HELD_BACK, Kind.BAD_RECIPIENT, Kind.HELD_BACK]
    assert sandbox.sends().height == 0


@pytest.mark.parametrize(
    ("status", "messages", "kind"),
    [
        (400, 2, Kind.CONTENT),
        (403, 2, Kind.CONFIG),
        (413, 2, Kind.TOO_LARGE),
        (413, 1, Kind.BODY),
        (418, 2, Kind.UNKNOWN),
    ],
)
def test_an_answer_to_the_whole_request_is_everybody_s(
    status: int, messages: int, kind: Kind, to_wire: Settings, wire: Any, make_batch: MakeBatch
) -> None:
    wire.answers = [(status, {}, b'{"errors":[{"message":"user1@example.com is bad","field":"content"}]}')]
    results = send(to_wire, make_batch("email", messages))
    assert [(result.kind, result.code) for result in results] == [(kind, f"http_{status}")] * messages


def test_after_a_halting_answer_the_rest_of_the_batch_is_held_back(
    to_wire: Settings, wire: Any, make_batch: MakeBatch
) -> None:
    wire.default = (401, {}, b"{}")
    batch = make_batch("email", 2, texts=[["A", "A", "x" * 11_000, "A"], ["B", "B", "x" * 11_000, "B"]])
    assert [result.kind for result in send(to_wire, batch)] == [Kind.CONFIG, Kind.HELD_BACK]
    assert len(wire.seen) == 1


def test_the_request_is_authorised_and_goes_to_the_base_url(
    to_wire: Settings, wire: Any, make_batch: MakeBatch
) -> None:
    wire.default = (202, {"X-Message-Id": "abc"}, b"")
    assert {result.provider_id for result in send(to_wire, make_batch("email"))} == {"abc"}
    (seen,) = wire.seen
    assert (seen.method, seen.path) == ("POST", "/v3/mail/send")
    assert seen.headers["Authorization"] == f"Bearer {to_wire.sendgrid_api_key.get_secret_value()}"
    assert len(orjson.loads(seen.body)["personalizations"]) == 2


def test_a_key_with_a_line_break_is_refused_before_anything_is_claimed(settings: Settings) -> None:
    from_a_file = settings.model_copy(update={"sendgrid_api_key": SecretStr("SG.secret\n")})
    with pytest.raises(InvalidInput, match="CAMPAIGN_SENDGRID_API_KEY holds a line break") as refused:
        open_channel(Channel.EMAIL, from_a_file)
    assert "SG.secret" not in str(refused.value)


def test_no_proxy_stands_between_us_and_this_machine(
    to_wire: Settings, wire: Any, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    wire.default = (202, {"X-Message-Id": "abc"}, b"")
    assert kinds(send(to_wire, make_batch("email"))) == {Kind.ACCEPTED}


def test_without_live_sending_no_channel_opens_to_another_machine(settings: Settings) -> None:
    with pytest.raises(Refused, match="live sending is off"):
        open_channel(Channel.EMAIL, settings.model_copy(update={"sendgrid_base_url": "https://api.sendgrid.com"}))
    with pytest.raises(Refused, match="live sending is off"):
        open_channel(Channel.SMS, settings.model_copy(update={"twilio_base_url": "https://api.twilio.com"}))


def test_nothing_personal_is_logged(
    to_wire: Settings, wire: Any, make_batch: MakeBatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    send(to_wire, make_batch("email"))
    assert "example.com" not in caplog.text
