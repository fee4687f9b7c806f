"""The sandbox as the SendGrid SDK sees it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from python_http_client.exceptions import BadRequestsError, HTTPError, NotFoundError, UnauthorizedError
from sendgrid import SendGridAPIClient

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.sandbox.behaviour import Behaviour, EmailRates
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.ground_truth import address_hash, email_hash
from campaign_pipeline.sandbox.server import SandboxServer
from tests.integration.openapi import check, component, response
from tests.integration.sandbox_clients import TOKEN, mail, person, sendgrid

OPENED = Behaviour(
    email=EmailRates(
        delivered=1, bounced=0, blocked=0, deferred=0, machine_open=0, opened=1, clicked=1, unsubscribed=0, complained=0
    )
)


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[SandboxServer]:
    with SandboxServer(SandboxConfig.from_settings(settings, port=0, events_url="", behaviour=OPENED)) as server:
        yield server


@pytest.fixture
def client(sandbox: SandboxServer) -> SendGridAPIClient:
    return sendgrid(sandbox.url)


def errors_of(client: SendGridAPIClient, request: dict[str, Any]) -> list[dict[str, Any]]:
    with pytest.raises(BadRequestsError) as caught:
        client.send(request)
    return caught.value.to_dict["errors"]


def test_each_recipient_gets_the_subject_and_content_with_its_own_substitutions(
    client: SendGridAPIClient, sandbox: SandboxServer
) -> None:
    answer = client.send(mail(person("ada"), person("bob", attempt=2)))
    assert answer.status_code == 202
    assert answer.body == b""
    ada, bob = sandbox.sends().to_dicts()
    html = '<a href="https://shop.example.com/?a=1&amp;b=2">20 % off</a>'
    assert ada["body_hash"] == email_hash("Hello ada", ["Dear ada, 20 % off", html])
    assert bob["body_hash"] == email_hash("Hello bob", ["Dear bob, 20 % off", html])
    assert ada["to_hash"] == address_hash("ada@example.com")
    assert ada["sid"] == bob["sid"] == answer.headers["X-Message-Id"]
    assert (bob["run_id"], bob["message_id"], bob["attempt"]) == ("spring--20260301t090000z", "bob", 2)
    assert (bob["provider"], bob["channel"]) == ("sendgrid", "email")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (mail() | {"personalizations": []}, "personalizations"),
        (mail(*[person(f"p{n}") for n in range(1001)]), "personalizations"),
        (mail(person("ada"), person("ada", "other")), "personalizations.1"),
        (mail(person("ada", to=[{"email": "nobody"}])), "personalizations.0.to.0.email"),
        (mail(person("ada", to=[])), "personalizations.0.to"),
        (mail(person("ada", substitutions={"-name-": "é" * 4998})), "personalizations.0.substitutions"),
        (mail(person("ada", custom_args={"a": "x" * 10_000})), "personalizations.0.custom_args"),
        (mail(person("ada", headers={"Reply-To": "x"})), "personalizations.0.headers"),
        (mail(content=[]), "content"),
        (mail(content=[{"type": "text/html", "value": ""}]), "content.0.value"),
        (mail(content=[{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]), "content"),
        (mail(subject=""), "subject"),
        (mail() | {"from": {"name": "no address"}}, "from.email"),
        (mail(categories=[str(n) for n in range(11)]), "categories"),
        (mail(send_at=int(time.time()) + 73 * 3600), "send_at"),
        (mail(batch_id="unknown"), "batch_id"),
    ],
)
def test_what_sendgrid_refuses_is_refused_with_its_field(
    client: SendGridAPIClient, sandbox: SandboxServer, request_: dict[str, Any], field: str
) -> None:
    [error] = errors_of(client, request_)
    assert error["field"] == field
    assert error["message"]
    assert sandbox.sends().is_empty()


def test_a_thousand_recipients_and_exactly_10000_bytes_of_substitutions_are_taken(
    client: SendGridAPIClient, sandbox: SandboxServer
) -> None:
    full = {"-name-": "é" * 4997}  # 6 + 2 * 4997 bytes
    client.send(mail(*[person(f"p{n}", substitutions=full if n == 0 else {"-name-": "x"}) for n in range(1000)]))
    assert sandbox.sends()["message_id"].n_unique() == 1000


def test_a_wrong_key_is_refused(sandbox: SandboxServer) -> None:
    with pytest.raises(UnauthorizedError):
        sendgrid(sandbox.url, key="wrong").send(mail())
    assert sandbox.sends().is_empty()


def test_more_than_30_mb_is_too_large(sandbox: SandboxServer) -> None:
    answer = requests.post(
        f"{sandbox.url}/v3/mail/send",
        data=orjson.dumps(mail(content=[{"type": "text/html", "value": "x" * (30 * 1024 * 1024)}])),
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=20,
    )
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["message"] == "content too large"


def test_a_held_batch_goes_out_when_released_and_not_at_all_when_cancelled(
    client: SendGridAPIClient, sandbox: SandboxServer
) -> None:
    kept, dropped = (orjson.loads(client.client.mail.batch.post().body)["batch_id"] for _ in range(2))
    for batch in (kept, dropped):
        client.client.user.scheduled_sends.post(request_body={"batch_id": batch, "status": "pause"})
    client.send(mail(person("kept"), batch_id=kept))
    client.send(mail(person("dropped"), batch_id=dropped))
    assert sandbox.sends().is_empty()
    assert sandbox.control.stats()["scheduled"] == 2
    client.client.user.scheduled_sends._(dropped).patch(request_body={"status": "cancel"})
    client.client.user.scheduled_sends._(kept).delete()
    assert sandbox.sends()["message_id"].to_list() == ["kept"]
    client.client.user.scheduled_sends._(dropped).delete()
    assert sandbox.sends()["message_id"].to_list() == ["kept"]
    query = "(unique_args['message_id']=\"dropped\")"
    [found] = orjson.loads(client.client.messages.get(query_params={"query": query}).body)["messages"]
    assert found["status"] == "not_delivered"


def test_mail_for_later_waits_for_its_time(client: SendGridAPIClient, sandbox: SandboxServer) -> None:
    client.send(mail(person("later", send_at=int(time.time()) + 3600), person("now")))
    assert sandbox.sends()["message_id"].to_list() == ["now"]
    sandbox.control.release()
    assert sandbox.sends()["message_id"].to_list() == ["now", "later"]


def test_unknown_batches_are_not_found(client: SendGridAPIClient) -> None:
    with pytest.raises(BadRequestsError):
        client.client.mail.batch._("nope").get()
    with pytest.raises(NotFoundError):
        client.client.user.scheduled_sends._("nope").delete()


def test_the_logs_are_searched_by_our_message_id(client: SendGridAPIClient, sandbox: SandboxServer) -> None:
    sent = client.send(mail(person("ada"), person("bob")))
    sandbox.control.wait_until_idle()
    query = "(unique_args['message_id']=\"bob\")"
    [found] = orjson.loads(client.client.messages.get(query_params={"query": query, "limit": 5}).body)["messages"]
    assert found["to_email"] == "bob@example.com"
    assert found["msg_id"].startswith(sent.headers["X-Message-Id"] + ".filter")
    assert (found["status"], found["opens_count"], found["clicks_count"]) == ("delivered", 1, 1)
    detail = orjson.loads(client.client.messages._(found["msg_id"]).get().body)
    assert detail["unique_args"]["message_id"] == "bob"
    assert [event["event_name"] for event in detail["events"]] == ["processed", "delivered", "open", "click"]
    none = client.client.messages.get(query_params={"query": "(unique_args['message_id']=\"nobody\")"})
    assert orjson.loads(none.body) == {"messages": []}


def test_an_unknown_query_is_refused(client: SendGridAPIClient) -> None:
    with pytest.raises(BadRequestsError):
        client.client.messages.get(query_params={"query": "shoe_size = '42'"})


def test_answers_are_what_the_openapi_files_promise(sandbox: SandboxServer, shared_data: Path) -> None:
    folder = shared_data / "openapi"
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {TOKEN}"

    def call(method: str, path: str, **kwargs: Any) -> requests.Response:
        return session.request(method, sandbox.url + path, timeout=5, **kwargs)

    mail_file = folder / "tsg_mail_v3.json"
    batch = call("POST", "/v3/mail/batch")
    assert batch.status_code == 201
    check(mail_file, response(mail_file, "/v3/mail/batch", "post", 201), batch.json())
    batch_id = batch.json()["batch_id"]
    check(
        mail_file,
        response(mail_file, "/v3/mail/batch/{batch_id}", "get", 200),
        call("GET", f"/v3/mail/batch/{batch_id}").json(),
    )
    refused = call("POST", "/v3/mail/send", json={})
    assert refused.status_code == 400
    check(mail_file, response(mail_file, "/v3/mail/send", "post", 400), refused.json())

    held_file = folder / "tsg_scheduled_sends_v3.json"
    held = call("POST", "/v3/user/scheduled_sends", json={"batch_id": batch_id, "status": "pause"})
    assert held.status_code == 201
    check(held_file, response(held_file, "/v3/user/scheduled_sends", "post", 201), held.json())
    listed = call("GET", f"/v3/user/scheduled_sends/{batch_id}").json()
    check(held_file, response(held_file, "/v3/user/scheduled_sends/{batch_id}", "get", 200), listed)
    assert listed == [{"batch_id": batch_id, "status": "pause"}]

    logs_file = folder / "tsg_logs_v3.json"
    assert call("POST", "/v3/mail/send", json=mail()).status_code == 202
    sandbox.control.wait_until_idle()
    query = (
        "status IN ('delivered') AND categories IN ('spring') AND sg_message_id_created_at > TIMESTAMP \"2020-01-01\""
    )
    found = call("POST", "/v3/logs", json={"query": query, "limit": 3}).json()
    check(logs_file, component("EmailLogsGetMessagesByFilterResponse"), found)
    detail = call("GET", f"/v3/logs/{found['messages'][0]['sg_message_id']}").json()
    check(logs_file, component("EmailLogsGetMessageByIdResponse"), detail)
    assert [event["event"] for event in detail["events"]] == ["processed", "delivered", "open", "click"]
    assert detail["custom_args"]["message_id"] == "ada"
    missing = call("GET", "/v3/logs/nope")
    assert missing.status_code == 404
    check(logs_file, response(logs_file, "/v3/logs/{sg_message_id}", "get", 404), missing.json())


def test_sendgrids_own_sandbox_mode_sends_nothing(client: SendGridAPIClient, sandbox: SandboxServer) -> None:
    answer = client.send(mail(mail_settings={"sandbox_mode": {"enable": True}}))
    assert answer.status_code == 200
    assert sandbox.sends().is_empty()


def test_accept_only_keeps_the_ground_truth_and_nothing_else(settings: Settings) -> None:
    with SandboxServer(SandboxConfig.from_settings(settings, port=0, accept_only=True)) as server:
        client = sendgrid(server.url)
        client.send(mail(person("ada")))
        assert server.sends()["message_id"].to_list() == ["ada"]
        assert server.control.idle()
        with pytest.raises(HTTPError):
            client.client.messages._("anything").get()
        assert orjson.loads(client.client.messages.get().body) == {"messages": []}


def test_stats_find_duplicates_from_the_ground_truth_after_a_restart(settings: Settings) -> None:
    config = SandboxConfig.from_settings(settings, port=0, events_url="")
    for _ in range(2):
        with SandboxServer(config) as server:
            sendgrid(server.url).send(mail(person("ada"), person(f"only-{server.url[-4:]}")))
            stats = server.control.stats()
    assert stats["physical_sends"] == {"sendgrid": 4}
    assert stats["duplicates"] == {"ada": 2}
    assert stats["duplicated_messages"] == 1


def test_reset_forgets_everything(client: SendGridAPIClient, sandbox: SandboxServer) -> None:
    client.send(mail())
    sandbox.control.reset()
    assert sandbox.sends().is_empty()
    assert orjson.loads(client.client.messages.get().body) == {"messages": []}
    assert sandbox.control.stats()["physical_sends"] == {}
