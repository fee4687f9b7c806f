"""The webhook channel against real receivers: what it posts, what it makes of answers, how doubt is resolved."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from pydantic import SecretStr

from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.channels import open_channel
from campaign_pipeline.dispatch.channels.base import Batch, Doubt, Finding, Lookup, Result
from campaign_pipeline.dispatch.channels.webhook import REPEATED_WITHIN
from campaign_pipeline.dispatch.channels.webhook_request import request_key, signature
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from campaign_pipeline.sandbox.ground_truth import duplicates
from campaign_pipeline.sandbox.server import SandboxServer
from tests.integration.dispatch.conftest import Wire
from tests.integration.dispatch.peers import listens, peer

MakeBatch = Callable[..., Batch]
OK = (200, {}, b"{}")


def send(settings: Settings, batch: Batch) -> list[Result]:
    with open_channel(Channel.WEBHOOK, settings) as channel:
        return channel.send(batch)


def look_up(settings: Settings, batch: Batch, claimed_at: datetime | None = None) -> list[Lookup]:
    at = claimed_at or datetime.now(UTC)
    with open_channel(Channel.WEBHOOK, settings) as channel:
        return channel.lookup([Doubt(batch, message, at) for message in batch.messages], frozenset())


def kinds(results: list[Result]) -> set[Kind]:
    return {result.kind for result in results}


def test_a_batch_is_one_signed_request(to_wire: Settings, wire: Wire, make_batch: MakeBatch) -> None:
    wire.default = OK
    batch = make_batch("webhook", 2, texts=[['"Zoë" <b>'], ["Bob"]], attempt=2)
    results = send(to_wire, batch)
    (seen,) = wire.seen
    headers = {name.lower(): value for name, value in seen.headers.items()}
    key = headers["idempotency-key"]
    assert key == headers["webhook-id"] == request_key(batch)
    assert results == [Result(n, Kind.ACCEPTED, "", key) for n in range(2)]
    assert (seen.method, seen.path, headers["content-type"]) == ("POST", "/in?tenant=1", "application/json")
    own = to_wire.webhook_secret.get_secret_value().encode()
    assert headers["webhook-signature"] == signature(own, key, headers["webhook-timestamp"], seen.body)
    assert abs(int(headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    shared = {"run_id": batch.run_id, "attempt": 2}
    assert orjson.loads(seen.body) == {
        "type": "messages",
        **shared,
        "campaign": "spring-sale",
        "variant": "plain",
        "batch_no": 0,
        "messages": [
            {"id": f"{n:024x}", **shared, "contact": f"C-{n}", "parts": {"body": f"Hi {name}, 10% off today."}}
            for n, name in enumerate(['"Zoë" <b>', "Bob"])
        ],
    }


def test_keys_are_stable_and_differ_by_attempt_batch_and_messages(make_batch: MakeBatch) -> None:
    batch = make_batch("webhook", 4)
    others = [make_batch("webhook", 4, attempt=2), *batch.pieces(2), Batch(**{**vars(batch), "batch_no": 1})]
    assert request_key(make_batch("webhook", 4)) == request_key(batch)
    assert len({request_key(one) for one in (batch, *others)}) == 5


def test_the_sandbox_verifies_and_writes_down(
    to_sandbox: Settings, sandbox: SandboxServer, make_batch: MakeBatch
) -> None:
    batch = make_batch("webhook", 5)
    assert kinds(send(to_sandbox, batch)) == {Kind.ACCEPTED}
    sends = sandbox.sends()
    assert sends["message_id"].to_list() == [message.message_id for message in batch.messages]
    assert (set(sends["channel"]), set(sends["sid"]), set(sends["attempt"])) == ({"webhook"}, {request_key(batch)}, {1})
    wrong = to_sandbox.model_copy(update={"webhook_secret": SecretStr("another")})
    (result, *_) = send(wrong, batch)
    assert (result.kind, result.code) == (Kind.CONFIG, "http_401")
    assert sandbox.sends().height == 5


ANSWERS = [
    (200, {}, Kind.ACCEPTED), (202, {}, Kind.ACCEPTED), (204, {}, Kind.ACCEPTED),
    (301, {"Location": "/elsewhere"}, Kind.NO_ANSWER), (302, {"Location": "/elsewhere"}, Kind.NO_ANSWER),
    (400, {}, Kind.CONTENT), (401, {}, Kind.CONFIG), (403, {}, Kind.CONFIG), (404, {}, Kind.CONFIG),
    (408, {}, Kind.NO_ANSWER), (409, {}, Kind.NO_ANSWER), (410, {}, Kind.CONFIG), (413, {}, Kind.TOO_LARGE),
    (418, {}, Kind.UNKNOWN), (422, {}, Kind.CONTENT), (429, {"Retry-After": "7"}, Kind.THROTTLED),
    (500, {}, Kind.NO_ANSWER), (502, {}, Kind.NO_ANSWER), (503, {}, Kind.NO_ANSWER),
]  # fmt: skip


@pytest.mark.parametrize(("status", "headers", "kind"), ANSWERS)
def test_each_answer_has_its_kind(
    status: int, headers: dict[str, str], kind: Kind, to_wire: Settings, wire: Wire, make_batch: MakeBatch
) -> None:
    wire.answers = [(status, headers, b"")]
    results = send(to_wire, make_batch("webhook", 2))
    assert kinds(results) == {kind}
    assert len(wire.seen) == 1
    assert results[0].retry_after == (7.0 if status == 429 else 0.0)
    assert results[0].code == ("" if kind == Kind.ACCEPTED else f"http_{status}")


def test_a_single_message_that_is_too_large_is_at_fault_itself(
    to_wire: Settings, wire: Wire, make_batch: MakeBatch
) -> None:
    wire.answers = [(413, {}, b"")]
    assert kinds(send(to_wire, make_batch("webhook", 1))) == {Kind.BODY}


def test_silence_of_every_sort(to_wire: Settings, wire: Wire, make_batch: MakeBatch) -> None:
    batch = make_batch("webhook", 2)
    wire.answers = [None, (200, {"Content-Length": "100"}, b"{")]
    assert kinds(send(to_wire, batch)) == {Kind.NO_ANSWER}
    assert kinds(send(to_wire, batch)) == {Kind.NO_ANSWER}
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    nobody = to_wire.model_copy(update={"webhook_url": f"http://127.0.0.1:{port}/"})
    assert kinds(send(nobody, batch)) == {Kind.NOT_CONNECTED}
    nowhere = to_wire.model_copy(update={"webhook_url": "http://no-such-host.invalid/", "live_sending": True})
    assert kinds(send(nowhere, batch)) == {Kind.NOT_CONNECTED}
    with peer(listens) as mute:
        slow = to_wire.model_copy(update={"webhook_url": mute.url, "request_timeout_seconds": 0.2})
        assert kinds(send(slow, batch)) == {Kind.NO_ANSWER}


def test_without_live_sending_nothing_leaves_this_machine(settings: Settings) -> None:
    with pytest.raises(Refused, match=r"nothing is sent to 'hooks\.example\.com'"):
        open_channel(Channel.WEBHOOK, settings.model_copy(update={"webhook_url": "https://hooks.example.com/in"}))


def test_a_receiver_that_promises_nothing_is_not_asked(to_wire: Settings, wire: Wire, make_batch: MakeBatch) -> None:
    with open_channel(Channel.WEBHOOK, to_wire) as channel:
        assert (channel.capabilities.lookup, channel.capabilities.idempotent) == (False, False)
    found = look_up(to_wire, make_batch("webhook", 2))
    assert {one.finding for one in found} == {Finding.INCONCLUSIVE}
    assert wire.seen == []


@pytest.mark.parametrize(
    ("status", "finding"),
    [(200, Finding.FOUND), (404, Finding.ABSENT), (409, Finding.INCONCLUSIVE), (500, Finding.INCONCLUSIVE)],
)
def test_a_lookup_is_the_same_request_once_more(
    status: int, finding: Finding, to_wire: Settings, wire: Wire, make_batch: MakeBatch
) -> None:
    settings = to_wire.model_copy(update={"webhook_idempotent": True})
    batch = make_batch("webhook", 3)
    wire.answers = [None, (status, {}, b"")]
    assert kinds(send(settings, batch)) == {Kind.NO_ANSWER}
    key = request_key(batch) if finding == Finding.FOUND else ""
    assert look_up(settings, batch) == [Lookup(n, 1, finding, key) for n in range(3)]
    first, again = wire.seen
    assert (first.body, first.path) == (again.body, again.path)
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]
    assert "webhook-repeated" not in first.headers
    assert again.headers["webhook-repeated"] == "true"


def test_keys_are_not_trusted_for_ever(to_wire: Settings, wire: Wire, make_batch: MakeBatch) -> None:
    settings = to_wire.model_copy(update={"webhook_idempotent": True})
    found = look_up(settings, make_batch("webhook", 1), datetime.now(UTC) - REPEATED_WITHIN - timedelta(seconds=1))
    assert (found[0].finding, wire.seen) == (Finding.INCONCLUSIVE, [])


@pytest.mark.parametrize("fault", [FaultKind.ACCEPT_THEN_DROP, FaultKind.REFUSE_BEFORE_ACCEPT])
def test_doubt_ends_with_one_message_each_whether_the_first_request_arrived_or_not(
    fault: FaultKind, settings: Settings, make_batch: MakeBatch
) -> None:
    keeps = settings.model_copy(update={"webhook_idempotent": True, "request_timeout_seconds": 5.0})
    batch = make_batch("webhook", 10)
    with SandboxServer(SandboxConfig.from_settings(keeps, port=0, events_url="")) as sandbox:
        to_it = keeps.model_copy(update={"webhook_url": f"{sandbox.url}/webhook"})
        sandbox.control.fault(Fault(kind=fault, provider="webhook", count=1))
        assert kinds(send(to_it, batch)) == {Kind.NO_ANSWER}
        assert {one.finding for one in look_up(to_it, batch)} == {Finding.FOUND}
        # Cut in other ways, it has other keys: ids keep a message from being processed twice.
        for piece in batch.pieces(3):
            assert {one.finding for one in look_up(to_it, piece)} == {Finding.FOUND}
        sends = sandbox.sends()
    assert (sends.height, duplicates(sends)) == (10, [])
