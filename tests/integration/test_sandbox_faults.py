"""Each fault as the SDKs and a plain HTTP client meet it, and what the ground truth says of it."""

import http.client
import time
from collections.abc import Iterator
from itertools import count
from urllib.error import URLError

import pytest
import requests
from python_http_client.exceptions import HTTPError, InternalServerError, TooManyRequestsError, UnauthorizedError
from twilio.base.exceptions import TwilioException, TwilioRestException

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.faults import Fault, FaultKind
from campaign_pipeline.sandbox.server import SandboxServer
from tests.integration.sandbox_clients import FROM, mail, sendgrid, twilio

K = FaultKind
NUMBERS = count()


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[SandboxServer]:
    with SandboxServer(SandboxConfig.from_settings(settings, port=0, events_url="")) as server:
        yield server


def send_mail(sandbox: SandboxServer) -> int:
    return sendgrid(sandbox.url).send(mail()).status_code


def send_text(sandbox: SandboxServer, timeout: float = 5) -> str:
    to = f"+12025550{next(NUMBERS):03d}"  # each text to somebody else: some people answer STOP
    message = twilio(sandbox.url, timeout=timeout).messages.create(to=to, from_=FROM, body="Hi")
    return str(message.sid)


@pytest.mark.parametrize(
    ("kind", "error", "sends"),
    [
        (K.REFUSE_BEFORE_ACCEPT, (URLError, ConnectionError, http.client.RemoteDisconnected), 0),
        (K.ACCEPT_THEN_DROP, (URLError, ConnectionError, http.client.RemoteDisconnected), 1),
        (K.TRUNCATED_BODY, http.client.IncompleteRead, 1),
        (K.THROTTLE_429, TooManyRequestsError, 0),
        (K.ERROR_500_THOUGH_ACCEPTED, InternalServerError, 1),
        (K.UNAVAILABLE_503, HTTPError, 0),
        (K.UNAUTHORIZED_401, UnauthorizedError, 0),
    ],
)
def test_sendgrid_fails_as_ordered_once_and_then_works(
    sandbox: SandboxServer, kind: FaultKind, error: type[Exception], sends: int
) -> None:
    sandbox.control.fault(Fault(kind=kind, provider="sendgrid", count=1))
    with pytest.raises(error):
        send_mail(sandbox)
    assert sandbox.sends().height == sends
    assert send_mail(sandbox) == 202
    assert sandbox.sends().height == sends + 1


@pytest.mark.parametrize(
    ("kind", "error", "sends"),
    [
        (K.REFUSE_BEFORE_ACCEPT, requests.ConnectionError, 0),
        (K.ACCEPT_THEN_DROP, requests.ConnectionError, 1),
        (K.TRUNCATED_BODY, requests.exceptions.ChunkedEncodingError, 1),
        (K.MALFORMED, (TwilioException, ValueError), 1),
        (K.THROTTLE_429, TwilioRestException, 0),
        (K.ERROR_500_THOUGH_ACCEPTED, TwilioRestException, 1),
        (K.UNAVAILABLE_503, TwilioRestException, 0),
        (K.UNAUTHORIZED_401, TwilioRestException, 0),
    ],
)
def test_twilio_fails_as_ordered_once_and_then_works(
    sandbox: SandboxServer, kind: FaultKind, error: type[Exception], sends: int
) -> None:
    sandbox.control.fault(Fault(kind=kind, provider="twilio", count=1))
    with pytest.raises(error):
        send_text(sandbox)
    assert sandbox.sends().height == sends
    assert send_text(sandbox).startswith("SM")
    assert sandbox.sends().height == sends + 1


def test_a_slow_answer_comes_after_the_message_was_accepted(sandbox: SandboxServer) -> None:
    sandbox.control.fault(Fault(kind=K.SLOW, count=1, seconds=1.0))
    with pytest.raises(requests.ReadTimeout):
        send_text(sandbox, timeout=0.3)
    assert sandbox.sends().height == 1
    sandbox.control.fault(Fault(kind=K.SLOW, count=1, seconds=0.2))
    start = time.monotonic()
    assert send_text(sandbox).startswith("SM")
    assert time.monotonic() - start >= 0.2


def test_a_redirect_turns_the_post_into_a_get_that_looks_fine_and_sent_nothing(sandbox: SandboxServer) -> None:
    sandbox.control.fault(Fault(kind=K.REDIRECT_302, count=1))
    assert send_mail(sandbox) == 200  # and not 202: what a sender must check
    assert sandbox.sends().is_empty()


def test_a_malformed_acceptance_carries_no_message_id(sandbox: SandboxServer) -> None:
    sandbox.control.fault(Fault(kind=K.MALFORMED, count=1))
    answer = sendgrid(sandbox.url).send(mail())
    assert answer.status_code == 202
    assert answer.headers["X-Message-Id"] is None
    assert sandbox.sends().height == 1


def test_throttling_says_when_to_come_back(sandbox: SandboxServer) -> None:
    sandbox.control.fault(Fault(kind=K.THROTTLE_429, count=1, seconds=30))
    with pytest.raises(TooManyRequestsError) as caught:
        send_mail(sandbox)
    reset = int(dict(caught.value.headers)["X-RateLimit-Reset"])
    assert 25 <= reset - time.time() <= 31
    sandbox.control.fault(Fault(kind=K.THROTTLE_429, count=1, seconds=30))
    with pytest.raises(TwilioRestException) as refused:
        send_text(sandbox)
    assert (refused.value.status, refused.value.code) == (429, 20429)


def test_a_fault_for_one_provider_leaves_the_other_alone(sandbox: SandboxServer) -> None:
    sandbox.control.fault(Fault(kind=K.UNAVAILABLE_503, provider="twilio", count=1))
    assert send_mail(sandbox) == 202
    assert [entry["hits"] for entry in sandbox.control.faults()] == [0]


def test_faults_aim_at_sending_unless_told_otherwise(sandbox: SandboxServer) -> None:
    client = twilio(sandbox.url)
    sandbox.control.fault(Fault(kind=K.UNAVAILABLE_503, provider="twilio", count=1))
    assert client.messages.list() == []
    sandbox.control.clear_faults()
    sandbox.control.fault(Fault(kind=K.UNAVAILABLE_503, provider="twilio", on="any", count=1))
    with pytest.raises(TwilioException):
        client.messages.list()


def test_an_invalid_request_is_refused_whatever_the_fault(sandbox: SandboxServer) -> None:
    sandbox.control.fault(Fault(kind=K.ERROR_500_THOUGH_ACCEPTED, count=1))
    with pytest.raises(TwilioRestException) as caught:
        twilio(sandbox.url).messages.create(to="nonsense", from_=FROM, body="Hi")
    assert caught.value.code == 21211


def test_an_order_that_is_no_fault_is_refused(sandbox: SandboxServer) -> None:
    answer = requests.post(f"{sandbox.url}/sandbox/faults", json={"kind": "earthquake", "count": 1}, timeout=5)
    assert answer.status_code == 400
    with pytest.raises(InvalidInput):
        sandbox.control._call("POST", "faults", {"kind": "slow"})
