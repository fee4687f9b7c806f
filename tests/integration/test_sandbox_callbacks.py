"""What the sandbox posts to the event receiver, and what it refuses to post."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from sendgrid.helpers.eventwebhook import EventWebhook
from twilio.request_validator import RequestValidator

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.sandbox.behaviour import Behaviour, EmailRates, TextRates
from campaign_pipeline.sandbox.config import CallbackOptions, SandboxConfig
from campaign_pipeline.sandbox.keys import PUBLIC_KEY, SIGNATURE_HEADER, TIMESTAMP_HEADER
from campaign_pipeline.sandbox.server import SandboxServer
from tests.integration.sandbox_clients import FROM, TOKEN, Receiver, mail, person, receiver, sendgrid, twilio

CERTAIN = Behaviour(
    email=EmailRates(
        delivered=1, bounced=0, blocked=0, deferred=0, machine_open=1, opened=1, clicked=1, unsubscribed=1, complained=0
    ),
    text=TextRates(delivered=1, undelivered={}, read=1, replied=1, replies={"STOP": 1}),
)
WHATSAPP = {"to": "whatsapp:+12025550101", "from_": "whatsapp:+15005550007"}
Start = Callable[..., SandboxServer]


@pytest.fixture
def inbox() -> Iterator[Receiver]:
    with receiver() as collected:
        yield collected


@pytest.fixture
def start(settings: Settings, inbox: Receiver) -> Iterator[Start]:
    servers: list[SandboxServer] = []

    def make(**changes: object) -> SandboxServer:
        fields = {"port": 0, "events_url": inbox.url, "behaviour": CERTAIN} | changes
        servers.append(SandboxServer(SandboxConfig.from_settings(settings, **fields)).start())
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


def one_click(inbox: Receiver, name: str) -> dict[str, str]:
    return {
        "List-Unsubscribe": f"<{inbox.url}/u/{name}>, <mailto:unsubscribe@example.com>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def test_sendgrid_events_are_signed_and_carry_our_ids(start: Start, inbox: Receiver, settings: Settings) -> None:
    server = start()
    sent = sendgrid(server.url).send(mail(person("ada")))
    server.control.wait_until_idle()
    public_key = (settings.data_dir / "sandbox" / PUBLIC_KEY).read_text()
    [post] = inbox.to("/webhooks/sendgrid")
    signature, timestamp = post.headers[SIGNATURE_HEADER], post.headers[TIMESTAMP_HEADER]
    webhook = EventWebhook(public_key)
    assert webhook.verify_signature(post.body.decode(), signature, timestamp)
    assert not webhook.verify_signature(post.body.decode() + " ", signature, timestamp)
    events = inbox.events()
    kinds = [event["event"] for event in events]
    assert kinds[:4] == ["processed", "delivered", "open", "open"]
    assert sorted(kinds[4:]) == ["click", "unsubscribe"]
    assert [event.get("sg_machine_open", False) for event in events if event["event"] == "open"] == [True, False]
    for event in events:
        assert (event["run_id"], event["message_id"], event["attempt"]) == ("spring--20260301t090000z", "ada", "1")
        assert event["email"] == "ada@example.com"
        assert event["category"] == ["spring", "variant:plain"]
        assert event["sg_message_id"].startswith(sent.headers["X-Message-Id"] + ".filter")
    assert len({event["sg_event_id"] for event in events}) == 6
    assert events[kinds.index("click")]["url"] == "https://shop.example.com/?a=1&b=2"
    assert server.control.stats()["callbacks"]["events"] == 6


def test_event_times_follow_the_sandbox_clock_up_to_forty_hours_on(start: Start, inbox: Receiver) -> None:
    server = start(clock_offset_seconds=-86400.0)
    sendgrid(server.url).send(mail(*[person(f"p{n}") for n in range(50)]))
    server.control.wait_until_idle()
    yesterday = datetime.now(UTC).timestamp() - 86400
    times = {
        kind: [e["timestamp"] - yesterday for e in inbox.events() if e["event"] == kind] for kind in ("open", "click")
    }
    assert 0 < min(times["open"]) < 120
    assert 3600 < max(times["open"]) < timedelta(hours=41).total_seconds()
    assert max(times["click"]) > 3600


def test_a_recipient_with_a_one_click_header_unsubscribes_by_itself_without_an_event(
    start: Start, inbox: Receiver
) -> None:
    server = start()
    sendgrid(server.url).send(mail(person("ada", headers=one_click(inbox, "ada-token"))))
    server.control.wait_until_idle()
    [post] = inbox.to("/u/")
    assert post.path == "/u/ada-token"
    assert post.body == b"List-Unsubscribe=One-Click"
    assert post.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "unsubscribe" not in [event["event"] for event in inbox.events()]


def test_an_unsubscribe_link_to_another_machine_is_never_called(start: Start) -> None:
    server = start()
    headers = {"List-Unsubscribe": "<https://example.com/u/1>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    sendgrid(server.url).send(mail(person("ada", headers=headers)))
    server.control.wait_until_idle()
    assert server.control.stats()["callbacks"]["refused"] == 1


def test_twilio_statuses_come_in_order_signed_over_the_whole_url(start: Start, inbox: Receiver) -> None:
    server = start()
    url = f"{inbox.url}/webhooks/twilio/status?run_id=r--20260301t090000z&message_id=m1&attempt=1"
    message = twilio(server.url).messages.create(**WHATSAPP, body="Hi", status_callback=url + "#rc=2")
    server.control.wait_until_idle()
    posts = inbox.to("/webhooks/twilio/status")
    forms = [dict(parse_qsl(post.body.decode(), keep_blank_values=True)) for post in posts]
    assert [form["MessageStatus"] for form in forms] == ["sent", "delivered", "read"]
    assert {form["MessageSid"] for form in forms} == {message.sid}
    assert {form["To"] for form in forms} == {"whatsapp:+12025550101"}
    validator = RequestValidator(TOKEN)
    for post, form in zip(posts, forms, strict=True):
        assert inbox.url + post.path == url
        assert validator.validate(url, form, post.headers["X-Twilio-Signature"])
        assert not validator.validate(url, form | {"MessageStatus": "failed"}, post.headers["X-Twilio-Signature"])
    [inbound] = inbox.to("/webhooks/twilio/inbound")
    reply = dict(parse_qsl(inbound.body.decode()))
    assert (reply["From"], reply["To"], reply["Body"]) == (WHATSAPP["to"], WHATSAPP["from_"], "STOP")
    assert validator.validate(inbox.url + inbound.path, reply, inbound.headers["X-Twilio-Signature"])


def test_an_undelivered_text_says_why(start: Start, inbox: Receiver) -> None:
    server = start(behaviour=Behaviour(text=TextRates(delivered=0, undelivered={30005: 1})))
    message = twilio(server.url).messages.create(
        to="+12025550101", from_=FROM, body="Hi", status_callback=f"{inbox.url}/status?message_id=m1"
    )
    server.control.wait_until_idle()
    forms = [dict(parse_qsl(post.body.decode())) for post in inbox.to("/status")]
    assert [(form["MessageStatus"], form.get("ErrorCode")) for form in forms] == [
        ("sent", None),
        ("undelivered", "30005"),
    ]
    fetched = twilio(server.url).messages(str(message.sid)).fetch()
    assert (fetched.status, fetched.error_code) == ("undelivered", 30005)


def test_a_status_callback_to_another_machine_is_never_called(start: Start) -> None:
    server = start(behaviour=Behaviour(text=TextRates(delivered=0, undelivered={})))
    twilio(server.url).messages.create(
        to="+12025550101", from_=FROM, body="Hi", status_callback="https://example.com/status?message_id=m1"
    )
    server.control.wait_until_idle()
    assert server.control.stats()["callbacks"]["refused"] == 1


def test_sendgrid_posts_again_until_it_is_answered_well(start: Start, inbox: Receiver) -> None:
    inbox.statuses = [500, 403, 503]
    server = start(callbacks=CallbackOptions(retry_seconds=0.01))
    sendgrid(server.url).send(mail())
    server.control.wait_until_idle()
    bodies = [post.body for post in inbox.to("/webhooks/sendgrid")]
    assert len(bodies) == 4
    assert len(set(bodies)) == 1
    counts = server.control.stats()["callbacks"]
    assert (counts["posted"], counts["retried"], counts["failed"]) == (1, 3, 0)


def test_twilio_posts_a_status_at_most_twice(start: Start, inbox: Receiver) -> None:
    inbox.statuses = [500, 500]
    server = start(
        callbacks=CallbackOptions(retry_seconds=0.01), behaviour=Behaviour(text=TextRates(delivered=0, undelivered={}))
    )
    twilio(server.url).messages.create(
        to="+12025550101", from_=FROM, body="Hi", status_callback=f"{inbox.url}/status?message_id=m1"
    )
    server.control.wait_until_idle()
    assert len(inbox.to("/status")) == 2
    assert server.control.stats()["callbacks"]["failed"] == 1


def test_events_are_shuffled_doubled_and_lost_on_demand(start: Start, inbox: Receiver) -> None:
    server = start(
        callbacks=CallbackOptions(shuffle=True, duplicate_share=0.3, loss_share=0.2, batch_size=100, linger_seconds=0.3)
    )
    sendgrid(server.url).send(mail(*[person(f"p{n}") for n in range(100)]))
    server.control.wait_until_idle()
    counts = server.control.stats()["callbacks"]
    seen = Counter(event["sg_event_id"] for event in inbox.events())
    assert 600 - counts["lost"] == len(seen)
    assert sum(seen.values()) == len(seen) + counts["duplicated"] == counts["events"]
    assert 70 < counts["lost"] < 170
    assert 90 < counts["duplicated"] < 200
    assert all(len(post.body) > 0 for post in inbox.posts)
    first = [event["event"] for event in inbox.events()][:20]
    assert first != sorted(first)


def test_in_real_time_an_event_waits_for_its_hour(start: Start, inbox: Receiver) -> None:
    server = start(real_time=True)
    sendgrid(server.url).send(mail())
    assert not server.control.idle()
    assert "open" not in [event["event"] for event in inbox.events()]
    assert server.control.stats()["callbacks"]["pending"] >= 4


def test_new_rates_hold_for_what_is_sent_afterwards(start: Start, inbox: Receiver) -> None:
    server = start()
    server.control.behave(Behaviour(email=EmailRates(delivered=0, bounced=1, blocked=0)))
    sendgrid(server.url).send(mail())
    server.control.wait_until_idle()
    [_, bounce] = inbox.events()
    assert (bounce["event"], bounce["type"], bounce["status"]) == ("bounce", "bounce", "5.1.1")
