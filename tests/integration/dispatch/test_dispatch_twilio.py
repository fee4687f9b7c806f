"""The Twilio channels through the real SDK: SMS and WhatsApp, answers, lookups, and the SDK's traps."""

import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from jsonschema import Draft202012Validator

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch.channels import open_channel
from campaign_pipeline.dispatch.channels.base import Batch, Doubt, Finding, Lookup, Result
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from campaign_pipeline.sandbox.ground_truth import content_hash, text_hash
from campaign_pipeline.sandbox.server import SandboxServer
from tests.integration.dispatch.peers import Connection, listens, peer

MakeBatch = Callable[..., Batch]
CREATED = {"sid": "SM" + "a" * 32, "status": "queued"}


def send(settings: Settings, batch: Batch, name: Channel = Channel.SMS) -> list[Result]:
    with open_channel(name, settings) as channel:
        return channel.send(batch)


def look_up(
    settings: Settings, batch: Batch, bound: set[str] | None = None, since: datetime | None = None
) -> list[Lookup]:
    at = since or datetime.now(UTC)
    doubts = [Doubt(batch, message, at) for message in batch.messages]
    with open_channel(Channel.SMS, settings) as channel:
        return channel.lookup(doubts, bound or set())


def created() -> bytes:
    body = json.dumps(CREATED).encode()
    return b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def form(seen: Any) -> dict[str, str]:
    return dict(parse_qsl(seen.body.decode(), keep_blank_values=True))


def test_every_message_is_one_request_with_its_text_and_its_callback(
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    batch = make_batch("sms", 20)
    results = send(to_sandbox, batch)
    assert {result.kind for result in results} == {Kind.ACCEPTED}
    assert len({result.provider_id for result in results}) == 20
    sends = sandbox.sends().sort("message_id")
    assert sends["message_id"].to_list() == [message.message_id for message in batch.messages]
    assert sends["body_hash"].to_list() == [text_hash(f"Hi Ann{n}, 10% off today.") for n in range(20)]
    assert sends["sid"].to_list() == [result.provider_id for result in results]
    assert set(sends["run_id"]) == {batch.run_id}


def test_whatsapp_sends_a_content_template_and_its_variables(
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    batch = make_batch("whatsapp", 1, texts=[['"Zoë" {{2}}', "7"]])
    assert send(to_sandbox, batch, Channel.WHATSAPP)[0].kind == Kind.ACCEPTED
    sends = sandbox.sends()
    assert sends["channel"].to_list() == ["whatsapp"]
    assert sends["body_hash"].to_list() == [content_hash("HX" + "1" * 32, {"1": '"Zoë" {{2}}', "2": "code 7"})]


@pytest.mark.parametrize("name", [Channel.SMS, Channel.WHATSAPP])
def test_requests_are_valid_by_the_provider_s_specification(
    name: Channel, to_wire: Settings, wire: Any, make_batch: MakeBatch, openapi: Callable[[str], Any]
) -> None:
    spec = openapi("twilio_api_v2010.json")
    path = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
    schema = spec["paths"][path]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    wire.default = (201, {}, json.dumps(CREATED).encode())
    batch = make_batch(name, 1, attempt=3)
    send(to_wire, batch, name)
    (seen,) = wire.seen
    sent = form(seen)
    assert seen.path == path.format(AccountSid=to_wire.twilio_account_sid)
    assert list(Draft202012Validator({**schema, "components": spec["components"]}).iter_errors(sent)) == []
    assert set(sent) <= set(schema["properties"])
    prefix = "whatsapp:" if name == Channel.WHATSAPP else ""
    assert sent["To"] == f"{prefix}+12125550000"
    assert sent["From"] == prefix + (to_wire.whatsapp_from if prefix else to_wire.twilio_from)
    callback = urlsplit(sent["StatusCallback"])
    assert callback.geturl().startswith(f"{to_wire.public_url}/webhooks/twilio/status?")
    expected = {"run_id": [batch.run_id], "message_id": ["0" * 24], "attempt": ["3"]}
    assert parse_qs(callback.query) == expected
    if prefix:
        assert sent["ContentSid"] == "HX" + "1" * 32
        assert json.loads(sent["ContentVariables"]) == {"1": "Ann0", "2": "code 0"}
    else:
        assert sent["Body"] == "Hi Ann0, 10% off today."


@pytest.mark.parametrize(
    ("fault", "outcome", "code", "sent"),
    [
        (FaultKind.REFUSE_BEFORE_ACCEPT, Outcome.IN_DOUBT, "no_answer", 0),
        (FaultKind.ACCEPT_THEN_DROP, Outcome.IN_DOUBT, "no_answer", 1),
        (FaultKind.TRUNCATED_BODY, Outcome.IN_DOUBT, "no_answer", 1),
        (FaultKind.MALFORMED, Outcome.IN_DOUBT, "unreadable", 1),
        (FaultKind.SLOW, Outcome.IN_DOUBT, "no_answer", 1),
        (FaultKind.ERROR_500_THOUGH_ACCEPTED, Outcome.IN_DOUBT, "20500", 1),
        (FaultKind.UNAVAILABLE_503, Outcome.IN_DOUBT, "20503", 0),
        (FaultKind.REDIRECT_302, Outcome.IN_DOUBT, "http_302", 0),
        (FaultKind.THROTTLE_429, Outcome.THROTTLED, "20429", 0),
        (FaultKind.UNAUTHORIZED_401, Outcome.NOT_SENT, "20003", 0),
    ],
)
def test_every_fault_becomes_its_outcome(
    fault: FaultKind, outcome: Outcome, code: str, sent: int,
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch,
) -> None:  # fmt: skip
    sandbox.control.fault(Fault(kind=fault, provider="twilio", count=1, seconds=3))
    (result,) = send(to_sandbox, make_batch("sms", 1))
    assert (result.outcome, result.code) == (outcome, code)
    assert sandbox.sends().height == sent
    assert result.retry_after == (3 if fault == FaultKind.THROTTLE_429 else 0)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, {"code": 21211, "message": "+12125550000 is not valid", "status": 400}, Kind.HARD_ADDRESS, "21211"),
        (400, {"code": 21610, "message": "m", "status": 400}, Kind.OPTED_OUT, "21610"),
        (400, {"code": 98765, "message": "m", "status": 400}, Kind.UNKNOWN, "98765"),
        # RFC 9457: the SDK raises TwilioServiceException, which is no TwilioRestException.
        (400, {"type": "t", "title": "t", "status": 400, "code": 63027}, Kind.CONTENT, "63027"),
        (403, {}, Kind.CONFIG, "http_403"),
        (201, {}, Kind.NO_ANSWER, "unreadable"),
        (201, [], Kind.NO_ANSWER, "unreadable"),
        (200, None, Kind.NO_ANSWER, "unreadable"),
    ],
)  # fmt: skip
def test_codes_and_unreadable_answers(
    status: int, body: Any, kind: Kind, code: str, to_wire: Settings, wire: Any, make_batch: MakeBatch
) -> None:
    wire.answers = [(status, {}, json.dumps(body).encode())]
    (result,) = send(to_wire, make_batch("sms", 1))
    assert (result.kind, result.code) == (kind, code)
    assert len(wire.seen) == 1


def test_an_empty_201_is_in_doubt(to_wire: Settings, wire: Any, make_batch: MakeBatch) -> None:
    wire.answers = [(201, {}, b"")]
    assert send(to_wire, make_batch("sms", 1))[0].kind == Kind.NO_ANSWER


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, to_wire: Settings, wire: Any, make_batch: MakeBatch) -> None:
    wire.answers = [(status, {"Location": f"{wire.url}/elsewhere"}, b"")]
    assert send(to_wire, make_batch("sms", 1))[0].kind == Kind.NO_ANSWER
    assert len(wire.seen) == 1


def test_a_500_is_not_sent_again_by_the_sdk(to_wire: Settings, wire: Any, make_batch: MakeBatch) -> None:
    wire.default = (500, {}, b"{}")
    assert send(to_wire, make_batch("sms", 1))[0].kind == Kind.NO_ANSWER
    assert len(wire.seen) == 1


def test_a_refused_connection_and_an_unknown_host_are_not_sent_and_hold_back_the_rest(
    settings: Settings, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_at_a_time = settings.model_copy(update={"twilio_concurrency": 1})
    with socket.socket() as taken:  # bound, not listening: refuses
        taken.bind(("127.0.0.1", 0))
        refusing = one_at_a_time.model_copy(update={"twilio_base_url": f"http://127.0.0.1:{taken.getsockname()[1]}"})
        kinds = [result.kind for result in send(refusing, make_batch("sms", 3))]
    assert kinds == [Kind.NOT_CONNECTED, Kind.HELD_BACK, Kind.HELD_BACK]

    def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    by_name = one_at_a_time.model_copy(update={"twilio_base_url": "http://localhost:8990"})
    assert send(by_name, make_batch("sms", 1))[0].kind == Kind.NOT_CONNECTED


def test_a_connect_timeout_is_not_sent_and_a_read_timeout_in_doubt(settings: Settings, make_batch: MakeBatch) -> None:
    with peer(listens) as server:
        for url, kind in (
            (server.url.replace("http:", "https:"), Kind.NOT_CONNECTED),  # the handshake does not end
            (server.url, Kind.NO_ANSWER),
        ):
            impatient = settings.model_copy(update={"twilio_base_url": url, "request_timeout_seconds": 0.3})
            assert send(impatient, make_batch("sms", 1))[0].kind == kind
        assert len(server.requests) == 1


def test_a_lookup_has_a_timeout_too(settings: Settings, make_batch: MakeBatch) -> None:
    with peer(listens) as server:
        impatient = settings.model_copy(update={"twilio_base_url": server.url, "request_timeout_seconds": 0.3})
        assert [one.finding for one in look_up(impatient, make_batch("sms", 3))] == [Finding.INCONCLUSIVE] * 3


def test_requests_of_all_threads_are_under_way_together_up_to_the_setting(
    settings: Settings, make_batch: MakeBatch
) -> None:
    three = threading.Barrier(3)
    lock = threading.Lock()
    under_way, most = 0, 0

    def answers_three_at_once(connection: Connection) -> None:
        nonlocal under_way, most
        while connection.read():
            with lock:
                under_way += 1
                most = max(most, under_way)
            three.wait(5)
            with lock:
                under_way -= 1
            connection.send(created())

    with peer(answers_three_at_once) as server:
        bounded = settings.model_copy(update={"twilio_base_url": server.url, "twilio_concurrency": 3})
        with open_channel(Channel.SMS, bounded) as channel, ThreadPoolExecutor(2) as pool:
            found = list(pool.map(channel.send, [make_batch("sms", 6), make_batch("sms", 9)]))
        assert [[result.message_no for result in results] for results in found] == [list(range(6)), list(range(9))]
        assert {result.kind for results in found for result in results} == {Kind.ACCEPTED}
        assert (len(server.requests), server.connections, most) == (15, 3, 3)


@pytest.mark.parametrize(
    ("status", "code", "kind"), [(429, 20429, Kind.THROTTLED), (401, 20003, Kind.CONFIG), (400, 63027, Kind.CONTENT)]
)
def test_after_an_answer_that_holds_for_all_nothing_more_starts(
    status: int, code: int, kind: Kind, settings: Settings, make_batch: MakeBatch
) -> None:
    both = threading.Barrier(2)
    refusal = json.dumps({"code": code, "message": "m", "status": status}).encode()

    def refuses_two_at_once(connection: Connection) -> None:
        while connection.read():
            both.wait(5)
            connection.send(b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%s" % (status, len(refusal), refusal))

    with peer(refuses_two_at_once) as server:
        two = settings.model_copy(update={"twilio_base_url": server.url, "twilio_concurrency": 2})
        results = send(two, make_batch("sms", 7))
        assert [result.kind for result in results] == [kind] * 2 + [Kind.HELD_BACK] * 5
        assert len(server.requests) == 2


def test_a_halting_answer_holds_back_the_rest_of_the_batch(to_wire: Settings, wire: Any, make_batch: MakeBatch) -> None:
    wire.default = (401, {}, b'{"code": 20003, "message": "Authenticate", "status": 401}')
    results = send(to_wire.model_copy(update={"twilio_concurrency": 1}), make_batch("sms", 5))
    assert [result.kind for result in results] == [Kind.CONFIG] + [Kind.HELD_BACK] * 4
    assert len(wire.seen) == 1


def test_no_proxy_stands_between_us_and_this_machine(
    to_wire: Settings, wire: Any, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    wire.default = (201, {}, json.dumps(CREATED).encode())
    assert send(to_wire, make_batch("sms", 1))[0].kind == Kind.ACCEPTED


def test_a_lookup_finds_what_was_accepted_though_the_answer_was_lost(
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    batch = make_batch("sms", 3)
    sandbox.control.fault(Fault(kind=FaultKind.ACCEPT_THEN_DROP, provider="twilio", count=2))
    assert [r.outcome for r in send(to_sandbox, batch)].count(Outcome.IN_DOUBT) == 2
    sids = dict(sandbox.sends().select("message_id", "sid").iter_rows())
    found = look_up(to_sandbox, batch)
    assert [(one.finding, one.provider_id) for one in found] == [
        (Finding.FOUND, sids[message.message_id]) for message in batch.messages
    ]
    # A SID that belongs to another message, another body, and an earlier message prove nothing.
    assert {one.finding for one in look_up(to_sandbox, batch, bound=set(sids.values()))} == {Finding.ABSENT}
    other = make_batch("sms", 3, texts=[["Bob"]] * 3)
    assert {one.finding for one in look_up(to_sandbox, other)} == {Finding.ABSENT}
    later = datetime.now(UTC) + timedelta(hours=1)
    assert {one.finding for one in look_up(to_sandbox, batch, since=later)} == {Finding.ABSENT}


def test_a_lookup_is_inconclusive_if_several_match_or_the_provider_fails(
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    batch = make_batch("sms", 1)
    for _ in range(2):
        send(to_sandbox, batch)
    assert look_up(to_sandbox, batch)[0].finding == Finding.INCONCLUSIVE
    sandbox.control.fault(Fault(kind=FaultKind.UNAVAILABLE_503, provider="twilio", on="any", count=1))
    assert look_up(to_sandbox, batch)[0].finding == Finding.INCONCLUSIVE
