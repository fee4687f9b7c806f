"""The sandbox as the Twilio SDK sees it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.sandbox.behaviour import Behaviour, TextRates
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.ground_truth import address_hash, content_hash, text_hash
from campaign_pipeline.sandbox.server import SandboxServer
from tests.integration.openapi import check, component, document, response
from tests.integration.sandbox_clients import ACCOUNT, FROM, TOKEN, twilio

MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
SERVICE = "MG" + "a" * 32
CALLBACK = "http://127.0.0.1:9/status?run_id=spring--20260301t090000z&message_id=m1&attempt=2"
SILENT = Behaviour(text=TextRates(delivered=0, undelivered={}))


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[SandboxServer]:
    config = SandboxConfig.from_settings(settings, port=0, events_url="", behaviour=SILENT, strict_content=True)
    with SandboxServer(config) as server:
        yield server


@pytest.fixture
def client(sandbox: SandboxServer) -> Client:
    return twilio(sandbox.url)


def code_of(client: Client, **parameters: object) -> int:
    with pytest.raises(TwilioRestException) as caught:
        client.messages.create(**{"to": "+12025550101", "from_": FROM, "body": "Hi"} | parameters)
    assert caught.value.code is not None
    return caught.value.code


def test_a_text_is_created_and_stands_in_the_ground_truth(client: Client, sandbox: SandboxServer) -> None:
    message = client.messages.create(to="+12025550101", from_=FROM, body="Hi", media_url=None)
    assert (message.status, message.num_segments) == ("queued", "1")
    assert client.messages.create(to="+12025550100", from_=FROM, body="é" * 161).num_segments == "2"
    assert message.sid is not None
    assert message.sid.startswith("SM")
    send = sandbox.sends().to_dicts()[0]
    assert send["sid"] == message.sid
    assert (send["provider"], send["channel"]) == ("twilio", "sms")
    assert send["to_hash"] == address_hash("+12025550101")
    assert send["body_hash"] == text_hash("Hi")
    assert send["message_id"] is None


def test_our_ids_come_from_the_query_of_the_status_callback(client: Client, sandbox: SandboxServer) -> None:
    client.messages.create(to="+12025550101", from_=FROM, body="Hi", status_callback=CALLBACK)
    [send] = sandbox.sends().to_dicts()
    assert (send["run_id"], send["message_id"], send["attempt"]) == ("spring--20260301t090000z", "m1", 2)
    sandbox.control.wait_until_idle()


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"to": "0171 555"}, 21211),
        ({"to": "+15005550001"}, 21211),
        ({"to": "+15005550009"}, 21614),
        ({"to": "+15005550003"}, 21408),
        ({"to": "+15005550004"}, 21610),
        ({"from_": None}, 21603),
        ({"from_": "+15005550007"}, 21606),
        ({"body": None}, 21602),
        ({"body": "x" * 1601}, 21617),
        ({"from_": "whatsapp:" + FROM}, 63007),
        ({"status_callback": "not a url"}, 21609),
        ({"body": None, "content_sid": "HX1"}, 21655),
        ({"body": None, "content_sid": "HX" + "0" * 32}, 63027),
        ({"body": None, "content_sid": "HX" + "0" * 32, "content_variables": "{no"}, 21656),
        ({"messaging_service_sid": SERVICE, "schedule_type": "fixed"}, 35111),
    ],
)
def test_what_twilio_refuses_is_refused_with_its_code(client: Client, parameters: dict[str, object], code: int) -> None:
    assert code_of(client, **parameters) == code


def test_a_wrong_token_is_refused(sandbox: SandboxServer) -> None:
    with pytest.raises(TwilioRestException) as caught:
        twilio(sandbox.url, token="wrong").messages.create(to="+12025550101", from_=FROM, body="Hi")
    assert (caught.value.status, caught.value.code) == (401, 20003)
    assert sandbox.sends().is_empty()


def test_a_number_that_sent_stop_is_refused_until_it_sends_start(client: Client, sandbox: SandboxServer) -> None:
    sandbox.control.receive("+12025550101", FROM, " stop ")
    assert code_of(client) == 21610
    assert client.messages.create(to="+12025550102", from_=FROM, body="Hi").sid
    sandbox.control.receive("+12025550101", FROM, "START")
    assert client.messages.create(to="+12025550101", from_=FROM, body="Hi").sid


def test_lists_are_filtered_and_paged_to_the_end(client: Client, sandbox: SandboxServer) -> None:
    for number in range(7):
        client.messages.create(to="+12025550101", from_=FROM, body=str(number))
    client.messages.create(to="+12025550199", from_=FROM, body="other")
    sandbox.control.wait_until_idle()
    listed = client.messages.list(to="+12025550101", page_size=3)
    assert [message.body for message in listed] == ["6", "5", "4", "3", "2", "1", "0"]
    assert len(client.messages.list(from_=FROM)) == 8
    assert client.messages.list(from_="+15005550000") == []
    today = datetime.now(UTC).date()
    assert len(client.messages.list(date_sent=today)) == 8
    assert client.messages.list(date_sent_before=date(2020, 1, 1)) == []
    assert len(client.messages.list(date_sent_after=datetime.now(UTC) - timedelta(hours=1))) == 8


def test_messages_that_arrive_while_paging_move_no_page(client: Client) -> None:
    for number in range(4):
        client.messages.create(to="+12025550101", from_=FROM, body=str(number))
    first = client.messages.page(to="+12025550101", page_size=2)
    assert [message.body for message in first] == ["3", "2"]
    client.messages.create(to="+12025550101", from_=FROM, body="new")
    second = first.next_page()
    assert second is not None
    assert [message.body for message in second] == ["1", "0"]
    assert second.next_page() is None


def test_a_message_is_fetched_redacted_and_deleted(client: Client, sandbox: SandboxServer) -> None:
    sid = client.messages.create(to="+12025550101", from_=FROM, body="secret").sid
    assert sid is not None
    sandbox.control.wait_until_idle()
    message = client.messages(sid).fetch()
    assert (message.body, message.status) == ("secret", "sent")
    assert message.date_sent is not None
    assert client.messages(sid).update(body="").body == ""
    assert client.messages(sid).delete()
    with pytest.raises(TwilioRestException) as caught:
        client.messages(sid).fetch()
    assert (caught.value.status, caught.value.code) == (404, 20404)


def test_a_scheduled_message_is_cancelled_before_anything_is_sent(client: Client, sandbox: SandboxServer) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    fields = {"messaging_service_sid": SERVICE, "schedule_type": "fixed", "send_at": at, "body": "later"}
    first = client.messages.create(to="+12025550101", **fields)
    second = client.messages.create(to="+12025550102", **fields)
    assert first.status == second.status == "scheduled"
    assert sandbox.sends().is_empty()
    assert client.messages(str(first.sid)).update(status="canceled").status == "canceled"
    sandbox.control.release()
    assert sandbox.sends()["sid"].to_list() == [second.sid]
    with pytest.raises(TwilioRestException) as caught:
        client.messages(str(second.sid)).update(status="canceled")
    assert caught.value.code == 30409


def test_a_schedule_without_a_messaging_service_is_dropped_and_sent_at_once(
    client: Client, sandbox: SandboxServer
) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    message = client.messages.create(to="+12025550101", from_=FROM, body="Hi", schedule_type="fixed", send_at=at)
    assert message.status == "queued"
    assert sandbox.sends().height == 1


def test_a_whatsapp_body_is_rendered_from_registered_content(client: Client, sandbox: SandboxServer) -> None:
    registered = requests.post(
        f"{sandbox.url}/v1/Content",
        json={
            "friendly_name": "offer",
            "language": "en",
            "variables": {"2": "soon"},
            "types": {"twilio/text": {"body": "Hi {{1}}, see you {{2}}"}},
        },
        auth=(ACCOUNT, TOKEN),
        timeout=5,
    )
    assert registered.status_code == 201
    sid = registered.json()["sid"]
    assert [content.sid for content in client.content.v1.contents.list()] == [sid]
    to, sender = "whatsapp:+12025550101", "whatsapp:+15005550007"
    message = client.messages.create(to=to, from_=sender, content_sid=sid, content_variables='{"1": "Ada"}')
    assert message.body == "Hi Ada, see you soon"
    assert sandbox.sends()["body_hash"].to_list() == [text_hash("Hi Ada, see you soon")]
    assert sandbox.sends()["to_hash"].to_list() == [address_hash("+12025550101")]
    assert code_of(client, to=to, from_=sender, body=None, content_sid=sid) == 63028


def test_unknown_content_is_accepted_by_default(settings: Settings) -> None:
    config = SandboxConfig.from_settings(settings, port=0, events_url="", behaviour=SILENT)
    sid = "HX" + "1" * 32
    with SandboxServer(config) as server:
        twilio(server.url).messages.create(
            to="whatsapp:+12025550101",
            from_="whatsapp:+15005550007",
            content_sid=sid,
            content_variables='{"2": "b", "1": "a"}',
        )
        [send] = server.sends().to_dicts()
    assert send["channel"] == "whatsapp"
    assert send["body_hash"] == content_hash(sid, {"1": "a", "2": "b"})


def test_answers_are_what_the_openapi_file_promises(sandbox: SandboxServer, shared_data: Path) -> None:
    file = shared_data / "openapi" / "twilio_api_v2010.json"
    message_schema = component("api.v2010.account.message")
    fields = {"To": "+12025550101", "From": FROM, "Body": "Hi"}
    auth = (ACCOUNT, TOKEN)
    created = requests.post(sandbox.url + MESSAGES, data=fields, auth=auth, timeout=5)
    assert created.status_code == 201
    check(file, {**message_schema, "required": list(_properties(file))}, created.json())
    media = requests.post(
        sandbox.url + MESSAGES,
        data={"To": "+12025550101", "MessagingServiceSid": SERVICE, "MediaUrl": "http://example.com/a.png"},
        auth=auth,
        timeout=5,
    ).json()
    check(file, message_schema, media)
    assert (media["status"], media["sid"][:2], media["num_media"]) == ("accepted", "MM", "1")
    listed = requests.get(sandbox.url + MESSAGES, params={"PageSize": 1}, auth=auth, timeout=5).json()
    path = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
    check(file, response(file, path, "get", 200), listed)
    assert listed["next_page_uri"].startswith(MESSAGES)
    content_file = shared_data / "openapi" / "twilio_content_v1.json"
    body = {"language": "en", "types": {"twilio/text": {"body": "Hi"}}}
    content = requests.post(sandbox.url + "/v1/Content", json=body, auth=auth, timeout=5).json()
    check(content_file, component("content.v1.content"), content)
    listed = requests.get(sandbox.url + "/v1/Content", auth=auth, timeout=5).json()
    check(content_file, response(content_file, "/v1/Content", "get", 200), listed)


def _properties(file: Path) -> list[str]:
    return list(document(file)["components"]["schemas"]["api.v2010.account.message"]["properties"])
