"""The receiver over HTTP: verified, durable, answered; everything else refused and not kept."""

import http.client
import re
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import orjson
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twilio.request_validator import RequestValidator

from campaign_pipeline.contacts.opt_in import Asked
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.events.verification import SENDGRID_SIGNATURE, SENDGRID_TIMESTAMP
from campaign_pipeline.messages.links import unsubscribe_token
from campaign_pipeline.web.server import ReceiverServer
from campaign_pipeline.web.webhooks import TWILIO_BYTES

CONTACT = "d" * 24
KEY = ec.derive_private_key(12345, ec.SECP256R1())
RUN, MESSAGE = "spring-sale--20260302t090000z", "c" * 24
FORM = {"MessageSid": "SM1", "MessageStatus": "sent", "To": "+12025550101", "ErrorCode": ""}
QUERY = urlencode({"run_id": RUN, "message_id": MESSAGE, "attempt": "1"})


@pytest.fixture
def server(settings: Settings) -> Iterator[ReceiverServer]:
    der = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with_key = settings.model_copy(update={"sendgrid_webhook_public_key": b64encode(der).decode()})
    with ReceiverServer(with_key) as running:
        yield running


def request(
    url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, str, Mapping[str, str]]:
    """POST with a body, GET without."""
    asked = urllib.request.Request(url, body, dict(headers or {}))
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def sendgrid_headers(server: ReceiverServer, body: bytes) -> dict[str, str]:
    timestamp = str(int(server.settings.clock().timestamp()))
    signature = KEY.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return {SENDGRID_SIGNATURE: b64encode(signature).decode(), SENDGRID_TIMESTAMP: timestamp}


def twilio_headers(server: ReceiverServer, url: str, form: Mapping[str, str]) -> dict[str, str]:
    token = server.settings.twilio_auth_token.get_secret_value()
    return {"X-Twilio-Signature": RequestValidator(token).compute_signature(url, dict(form))}


def kept(settings: Settings) -> list[dict[str, object]]:
    files = sorted(settings.inbox_dir.glob("*.jsonl"))
    return [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]


def test_a_signed_sendgrid_post_is_kept_as_it_came(server: ReceiverServer) -> None:
    body = b'[ {"event":"open", "timestamp":1} ]\r\n'
    status, _, _ = request(f"{server.url}/webhooks/sendgrid", body, sendgrid_headers(server, body))
    assert status == 202
    [record] = kept(server.settings)
    assert (record["provider"], record["kind"], record["body"]) == ("sendgrid", "events", body.decode())


def test_wrong_or_missing_signatures_are_refused_and_nothing_is_kept(server: ReceiverServer) -> None:
    sendgrid, body = f"{server.url}/webhooks/sendgrid", b"[]"
    good = sendgrid_headers(server, body)
    for headers in ({}, good | {SENDGRID_SIGNATURE: "AAAA"}, good | {SENDGRID_TIMESTAMP: "1"}):
        assert request(sendgrid, body, headers)[0] == 403
    assert request(sendgrid, body + b" ", good)[0] == 403
    for kind in ("status", "inbound"):
        url = f"{server.url}/webhooks/twilio/{kind}?{QUERY}"
        good = twilio_headers(server, url, FORM)
        for headers in ({}, {"X-Twilio-Signature": ""}, {"X-Twilio-Signature": "AAAA"}):
            assert request(url, urlencode(FORM).encode(), headers)[0] == 403
        assert request(url, urlencode(FORM | {"MessageStatus": "read"}).encode(), good)[0] == 403
        assert request(url + "&attempt=2", urlencode(FORM).encode(), good)[0] == 403
    assert kept(server.settings) == []


def test_without_a_key_sendgrid_posts_are_refused(settings: Settings) -> None:
    with ReceiverServer(settings) as server:
        assert request(f"{server.url}/webhooks/sendgrid", b"[]", sendgrid_headers(server, b"[]"))[0] == 403


def test_the_key_of_a_sandbox_that_starts_later_is_found(settings: Settings) -> None:
    with ReceiverServer(settings) as server:
        der = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        (settings.data_dir / "sandbox").mkdir()
        (settings.data_dir / "sandbox" / "webhook_public_key.txt").write_bytes(b64encode(der))
        assert request(f"{server.url}/webhooks/sendgrid", b"[]", sendgrid_headers(server, b"[]"))[0] == 202


def test_twilio_callbacks_are_kept_with_their_query(server: ReceiverServer) -> None:
    url = f"{server.url}/webhooks/twilio/status?{QUERY}"
    assert request(url, urlencode(FORM).encode(), twilio_headers(server, url, FORM))[0] == 204
    inbound = f"{server.url}/webhooks/twilio/inbound"
    form = {"MessageSid": "SM2", "From": "+12025550101", "Body": "Stop & go é"}
    status, text, headers = request(inbound, urlencode(form).encode(), twilio_headers(server, inbound, form))
    assert (status, headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert text.endswith("<Response/>")
    records = kept(server.settings)
    assert [record["kind"] for record in records] == ["status", "inbound"]
    assert records[0]["query"] == {"run_id": RUN, "message_id": MESSAGE, "attempt": "1"}


def test_twilio_signs_the_public_url_and_not_the_one_behind_the_proxy(server: ReceiverServer) -> None:
    server.settings.__dict__["public_url"] = "https://events.example.com/hooks/"
    public = f"https://events.example.com/hooks/webhooks/twilio/status?{QUERY}"
    local = f"{server.url}/webhooks/twilio/status?{QUERY}"
    assert request(local, urlencode(FORM).encode(), twilio_headers(server, public, FORM))[0] == 204
    assert request(local, urlencode(FORM).encode(), twilio_headers(server, local, FORM))[0] == 403


def test_a_body_that_is_too_large_is_refused(server: ReceiverServer) -> None:
    for path, limit in (
        ("sendgrid", server.settings.receiver_max_bytes),
        ("twilio/status", TWILIO_BYTES),
        ("twilio/inbound", TWILIO_BYTES),
    ):
        assert request(f"{server.url}/webhooks/{path}", b"x" * limit)[0] == 403
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
        connection.putrequest("POST", f"/webhooks/{path}")
        connection.putheader("Content-Length", str(limit + 1))
        connection.endheaders()  # it is refused before any of it is sent
        assert connection.getresponse().status == 413
        connection.close()


def test_a_body_that_does_not_say_how_large_it_is_is_cut_off(server: ReceiverServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.putrequest("POST", "/webhooks/twilio/status")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"%x\r\n%s\r\n" % (TWILIO_BYTES + 1, b"x" * (TWILIO_BYTES + 1)))
    assert connection.getresponse().status == 413
    connection.close()


def half_a_post(server: ReceiverServer) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.putrequest("POST", "/webhooks/sendgrid")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"[")
    return connection


def wait_for(server: ReceiverServer, figure: str) -> None:
    for _ in range(500):
        if figure in request(f"{server.url}/metrics")[1]:
            return
        time.sleep(0.02)
    pytest.fail(f"/metrics never says {figure}")


def test_a_body_that_comes_too_slowly_ends_the_connection(settings: Settings) -> None:
    with ReceiverServer(settings.model_copy(update={"receiver_body_seconds": 0.1})) as server:
        connection = half_a_post(server)
        answer = connection.getresponse()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        connection.close()


def test_a_provider_that_floods_comes_again_and_links_go_on(settings: Settings) -> None:
    with ReceiverServer(settings.model_copy(update={"receiver_requests": 1})) as server:
        connection = half_a_post(server)
        wait_for(server, 'campaigns_webhook_waiting_bytes{provider="sendgrid"} 1.0')
        status, _, headers = request(f"{server.url}/webhooks/sendgrid", b"[]")
        assert (status, headers["retry-after"]) == (429, "5")
        assert request(f"{server.url}/webhooks/twilio/status", b"")[0] == 403
        assert request(f"{server.url}/u/{unsubscribe_token(settings.link_secret, RUN, MESSAGE)}", b"")[0] == 200
        connection.close()
        wait_for(server, 'reason="gone"} 1.0')
        assert request(f"{server.url}/webhooks/sendgrid", b"[]")[0] == 403


def test_a_webhook_is_posted_to_its_own_path(server: ReceiverServer) -> None:
    status, _, headers = request(f"{server.url}/webhooks/sendgrid")
    assert (status, headers["allow"]) == (405, "POST")
    for path in ("/webhooks", "/webhooks/", "/webhooks/sendgrid/", "/webhooks/Sendgrid", "/webhooks/other", "//"):
        assert request(f"{server.url}{path}", b"[]", sendgrid_headers(server, b"[]"))[0] == 404
    assert kept(server.settings) == []


def test_a_json_callback_is_kept_when_its_url_has_the_digest(server: ReceiverServer) -> None:
    validator = RequestValidator(server.settings.twilio_auth_token.get_secret_value())
    body = b'{"MessageSid": "SM1", "MessageStatus": "sent"}'
    url = f"{server.url}/webhooks/twilio/status?bodySHA256={validator.compute_hash(body.decode())}"
    headers = {"X-Twilio-Signature": validator.compute_signature(url, {}), "Content-Type": "application/json"}
    assert request(url, body, headers)[0] == 204
    assert request(url, body + b" ", headers)[0] == 403
    [record] = kept(server.settings)
    assert record["body"] == body.decode()


def test_opening_the_unsubscribe_page_changes_nothing(server: ReceiverServer) -> None:
    url = f"{server.url}/u/{unsubscribe_token(server.settings.link_secret, RUN, MESSAGE)}"
    for _ in range(3):
        status, page, headers = request(url)
        assert status == 200
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert '<html lang="en">' in page
    assert re.search(r'<form method="post"><button type="submit">', page)
    assert kept(server.settings) == []


@pytest.mark.parametrize("body", [b"List-Unsubscribe=One-Click", b""])
def test_posting_unsubscribes_by_one_click_and_by_the_button(server: ReceiverServer, body: bytes) -> None:
    token = unsubscribe_token(server.settings.link_secret, RUN, MESSAGE)
    status, page, _ = request(f"{server.url}/u/{token}", body)
    assert status == 200
    assert "You are unsubscribed" in page
    [record] = kept(server.settings)
    assert (record["provider"], record["kind"]) == ("own", "unsubscribe")
    assert record["query"] == {"run_id": RUN, "message_id": MESSAGE}
    assert token not in str(record)


@pytest.mark.parametrize("token", ["not-a-token", f"{RUN}.{MESSAGE}.{'0' * 32}", "%00", "<b>", "a" * 5000])
def test_a_wrong_link_is_a_404_page(server: ReceiverServer, token: str) -> None:
    url = f"{server.url}/u/{urllib.request.quote(token)}"
    for body in (None, b""):
        status, page, _ = request(url, body)
        assert (status, "This link does not work" in page) == (404, True)
        assert token not in page
    assert kept(server.settings) == []


def test_following_a_confirmation_link_changes_nothing_and_the_button_confirms(server: ReceiverServer) -> None:
    url = Asked(CONTACT, 17).url(server.url, server.settings.link_secret)
    assert url
    status, page, headers = request(url)
    assert status == 200
    assert '<form method="post">' in page
    assert headers["Referrer-Policy"] == "no-referrer"
    assert kept(server.settings) == []
    status, page, _ = request(url, b"")
    assert (status, "Thank you" in page) == (200, True)
    [record] = kept(server.settings)
    assert (record["provider"], record["kind"]) == ("own", "confirm")
    assert record["query"] == {"contact_id": CONTACT, "consent_id": "17", "ip": "127.0.0.1"}
    assert request(f"{server.url}/c/{CONTACT}.18.{url[-32:]}", b"")[0] == 404
    assert len(kept(server.settings)) == 1


def test_health_and_metrics_tell_routes_and_no_tokens(server: ReceiverServer) -> None:
    token = unsubscribe_token(server.settings.link_secret, RUN, MESSAGE)
    request(f"{server.url}/u/{token}", b"")
    request(f"{server.url}/webhooks/sendgrid", b"[]")
    for path in ("health", "healthz"):
        assert request(f"{server.url}/{path}")[:2] == (200, "ok")
    text = request(f"{server.url}/metrics")[1]
    assert 'campaigns_receiver_requests_total{route="/u",status="200"} 1' in text
    assert 'campaigns_receiver_requests_total{route="/webhooks/sendgrid",status="403"} 1' in text
    assert "campaigns_inbox_appended_total 1" in text
    assert "campaigns_inbox_waiting_bytes 0" in text
    refused = 'campaigns_webhook_refused_total{kind="events",provider="sendgrid",reason="unproven"} 1.0'
    assert refused in text
    assert "process_cpu_seconds_total" in text
    assert token not in text


def test_nothing_personal_is_logged(server: ReceiverServer, capfd: pytest.CaptureFixture[str]) -> None:
    body = b'[{"email":"ann@example.com"}]'
    request(f"{server.url}/webhooks/sendgrid", body)
    request(f"{server.url}/webhooks/sendgrid", body, sendgrid_headers(server, body))
    request(f"{server.url}/u/token-of-ann")
    written = "".join(capfd.readouterr())
    assert "ann" not in written


def test_an_inbox_that_cannot_write_answers_503_and_is_not_healthy_when_closed(server: ReceiverServer) -> None:
    folder: Path = server.settings.inbox_dir
    folder.rmdir()
    body = b"[]"
    status, _, headers = request(f"{server.url}/webhooks/sendgrid", body, sendgrid_headers(server, body))
    assert (status, headers["retry-after"]) == (503, "5")
    assert request(f"{server.url}/health")[:2] == (503, "the inbox cannot be written: No such file or directory")
    folder.mkdir()
    assert request(f"{server.url}/webhooks/sendgrid", body, sendgrid_headers(server, body))[0] == 202
