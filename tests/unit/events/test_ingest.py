"""From the inbox to the lake, to suppressions, consent and settled doubts: once, however often it is tried."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import polars as pl
import pytest
import sqlalchemy as sa
from payloads import (
    ANN,
    ANN_EMAIL,
    ANN_PHONE,
    BOB_PHONE,
    NOW,
    RUN,
    SMS_RUN,
    add_run,
    sendgrid_item,
    sendgrid_post,
    twilio_inbound,
    twilio_status,
    unsubscription,
)

from campaign_pipeline.contacts.consent import current_consent, record_consent
from campaign_pipeline.contacts.opt_in import ask_consent
from campaign_pipeline.contacts.suppression import active_suppressions, suppress_erased, suppressed_among
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.ids import message_id, trial_run_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import campaign_versions, claims, consents, inbox_cursors, outcomes, suppressions
from campaign_pipeline.core.words import Channel, ConsentState
from campaign_pipeline.events import ingest
from campaign_pipeline.events.ingest import pending_bytes, receive
from campaign_pipeline.events.normalise import RECEIVED

pytestmark = pytest.mark.usefixtures("sent")


def suppressed(engine: sa.Engine, channel: Channel, at: datetime = NOW) -> list[tuple[Any, ...]]:
    with reading(engine) as connection:
        return active_suppressions(connection, channel, at=at).rows()


def consent(engine: sa.Engine, channel: Channel) -> dict[str, str]:
    with reading(engine) as connection:
        return {contact: state for contact, _, state in current_consent(connection, channel).iter_rows()}


def count(engine: sa.Engine, table: sa.Table) -> int:
    with reading(engine) as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def lake_events(lake: Lake) -> pl.DataFrame:
    return pl.read_parquet(lake.glob("received_events")).sort("event_id")


def test_events_reach_the_lake_and_are_read_once(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    yesterday = int((NOW - timedelta(days=1)).timestamp())
    receive_requests(
        sendgrid_post(
            sendgrid_item("delivered", timestamp=yesterday), sendgrid_item("open"), sendgrid_item("teleport")
        ),
        twilio_status("sent"),
    )
    assert pending_bytes(engine, settings.inbox_dir).pending > 0
    received = receive(engine, lake, settings)
    assert (received.files, received.events, received.unknown, received.rejected) == (3, 4, 1, 0)  # two days in one
    assert received.touched_days == {"2026-03-02", "2026-03-03"}
    assert received.touched_runs == {RUN, SMS_RUN}
    frame = lake_events(lake)
    assert dict(frame.schema) == RECEIVED
    assert set(frame["type"]) == {"delivered", "opened", "unknown", "sent"}
    assert not frame.drop("url", "user_agent", "network").null_count().sum_horizontal().item()
    assert all(value not in str(frame.rows()) for value in (ANN_EMAIL, ANN_PHONE))
    assert receive(engine, lake, settings) == ingest.Received()
    assert pending_bytes(engine, settings.inbox_dir).pending == 0


def test_a_crash_before_the_cursor_moves_is_repeated_into_the_same_file(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive_requests(sendgrid_post(sendgrid_item("unsubscribe")))

    def crash(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(ingest, "set_aside", crash)
        with pytest.raises(KeyboardInterrupt):
            receive(engine, lake, settings)
    assert len(lake.partitions("received_events")) == 1
    assert (count(engine, suppressions), count(engine, inbox_cursors)) == (0, 0)
    assert receive(engine, lake, settings).suppressed == 1
    assert len(lake.partitions("received_events")) == 1
    assert lake_events(lake).height == 1


def test_two_readers_at_once_do_no_harm(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive_requests(sendgrid_post(sendgrid_item("open")), sendgrid_post(sendgrid_item("click")))
    normalise, others = ingest.normalise, []

    def meanwhile(records: Any) -> Any:
        if not others:
            others.append(None)
            others.append(receive(engine, lake, settings))
        return normalise(records)

    monkeypatch.setattr(ingest, "normalise", meanwhile)
    assert receive(engine, lake, settings).events == 0
    assert others[1].events == 2
    assert lake_events(lake).height == 2


@pytest.mark.parametrize("event", ["unsubscribe", "spamreport", "bounce"])
def test_email_opt_outs_complaints_and_hard_bounces_suppress_once(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any, event: str
) -> None:
    item = sendgrid_item(event, email="ANN@Example.com", sg_event_id="1")
    receive_requests(sendgrid_post(item, item), sendgrid_post(item | {"sg_event_id": "2"}))
    assert receive(engine, lake, settings).suppressed == 1
    receive_requests(sendgrid_post(item), at=NOW + timedelta(hours=1))
    assert receive(engine, lake, settings).suppressed == 0
    reason = {"unsubscribe": "unsubscribed", "spamreport": "complained", "bounce": "hard_bounce"}[event]
    assert suppressed(engine, Channel.EMAIL) == [(ANN_EMAIL, reason)]
    assert consent(engine, Channel.EMAIL) == ({} if event == "bounce" else {ANN: "withdrawn"})
    assert count(engine, consents) == (0 if event == "bounce" else 1)
    assert suppressed(engine, Channel.SMS) == []


@pytest.mark.parametrize("request_", ["sendgrid", "twilio"])
def test_a_soft_bounce_suppresses_for_some_days_and_withdraws_nothing(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any, request_: str
) -> None:
    if request_ == "sendgrid":
        channel, held = Channel.EMAIL, [(ANN_EMAIL, "soft_bounce")]
        receive_requests(sendgrid_post(sendgrid_item("bounce", type="blocked")))
    else:
        channel, held = Channel.SMS, [(ANN_PHONE, "soft_bounce")]
        receive_requests(twilio_status("undelivered", ErrorCode="30003"))
    assert receive(engine, lake, settings).suppressed == 1
    assert settings.soft_bounce_days == 3
    assert suppressed(engine, channel, NOW + timedelta(days=3, seconds=-1)) == held
    assert suppressed(engine, channel, NOW + timedelta(days=3)) == []
    assert count(engine, consents) == 0


def test_no_days_for_soft_bounces_means_that_they_do_not_suppress(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    receive_requests(sendgrid_post(sendgrid_item("bounce", type="blocked")))
    assert receive(engine, lake, settings.model_copy(update={"soft_bounce_days": 0})).suppressed == 0
    assert suppressed(engine, Channel.EMAIL, NOW) == []


def test_a_late_event_of_an_erased_address_does_not_write_it_down_again(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    with writing(engine) as connection:
        suppress_erased(connection, [(Channel.EMAIL, ANN_EMAIL)], settings.link_secret, NOW)
    receive_requests(sendgrid_post(sendgrid_item("bounce", email=ANN_EMAIL)))
    assert receive(engine, lake, settings).suppressed == 0
    with reading(engine) as connection:
        assert ANN_EMAIL not in connection.execute(sa.select(suppressions.c.address)).scalars().all()
        held = suppressed_among(connection, Channel.EMAIL, pl.Series([ANN_EMAIL]), at=NOW, secret=settings.link_secret)
    assert held.rows() == [(ANN_EMAIL, "erased")]


def test_our_own_link_suppresses_the_address_of_the_message_on_its_channel(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    receive_requests(unsubscription(), unsubscription(SMS_RUN))
    assert receive(engine, lake, settings).suppressed == 2
    assert suppressed(engine, Channel.EMAIL) == [(ANN_EMAIL, "unsubscribed")]
    assert suppressed(engine, Channel.SMS) == [(ANN_PHONE, "unsubscribed")]
    assert consent(engine, Channel.EMAIL) == consent(engine, Channel.SMS) == {ANN: "withdrawn"}
    assert set(lake_events(lake)["channel"]) == {"email", "sms"}


def test_an_unsubscription_from_a_message_that_is_not_here_is_set_aside_and_counted(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    receive_requests(unsubscription("other--20260101t000000z"))
    received = receive(engine, lake, settings)
    assert (received.events, received.suppressed, received.rejected, received.touched_runs) == (1, 0, 1, set())
    [file] = (settings.inbox_dir / "rejected").glob("*.jsonl")
    assert "nobody to suppress" in orjson.loads(file.read_bytes())["reason"]


def test_undecodable_payloads_are_set_aside_and_the_rest_goes_on(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    receive_requests(("sendgrid", "events", {}, b"{"), sendgrid_post(sendgrid_item("open"), {"event": "x"}))
    received = receive(engine, lake, settings)
    assert (received.events, received.rejected) == (1, 2)
    [file] = (settings.inbox_dir / "rejected").glob("*.jsonl")
    assert [row["content"] for row in map(orjson.loads, file.read_bytes().splitlines())] == ["{", '{"event":"x"}']


def test_a_reply_is_of_the_newest_message_to_that_address(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    with writing(engine) as connection:
        phones = (ANN_PHONE, BOB_PHONE)
        at = datetime(2026, 3, 3, 10, tzinfo=UTC)
        add_run(connection, lake, "later--20260303t100000z", "later", "sms", phones, at, outcome="rejected")
        at = datetime(2026, 3, 4, 10, tzinfo=UTC)
        add_run(connection, lake, "future--20260304t100000z", "future", "sms", phones, at)
        at = datetime(2026, 3, 3, 11, tzinfo=UTC)
        add_run(connection, lake, "chat--20260303t110000z", "chat", "whatsapp", phones, at)
    receive_requests(
        twilio_inbound("Thanks!", BOB_PHONE, "SM1"),
        twilio_inbound("Hello", f"whatsapp:{ANN_PHONE}", "SM2"),
        twilio_inbound("Who is this?", "+12025550199", "SM3"),
    )
    receive(engine, lake, settings)
    found = {row["provider_id"]: (row["run_id"], row["message_id"]) for row in lake_events(lake).to_dicts()}
    chat = "chat--20260303t110000z"
    assert found == {
        "SM1": (SMS_RUN, message_id(SMS_RUN, "b" * 24, "sms")),
        "SM2": (chat, message_id(chat, ANN, "whatsapp")),
        "SM3": ("", ""),
    }


def test_a_reply_is_of_an_attempt_that_was_for_its_sender_and_may_have_arrived(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    """An attempt that was given up by never_lose may have arrived; one that was for others only has not."""
    run, at = "lost--20260303t100000z", datetime(2026, 3, 3, 10, tzinfo=UTC)
    with writing(engine) as connection:
        add_run(connection, lake, run, "lost", "sms", (ANN_PHONE, BOB_PHONE), at, outcome="rejected")
        of_ann = (outcomes.c.run_id == run, outcomes.c.message_no == 0)
        given_up = {"source": "policy", "outcome": "not_sent", "code": "never_lose"}
        connection.execute(sa.update(outcomes).where(*of_ann).values(given_up))
        claim = {"run_id": run, "batch_no": 0, "attempt": 2, "worker": "w", "claimed_at": at, "covers": "0"}
        connection.execute(sa.insert(claims).values(claim))
        left_out = {"run_id": run, "message_no": 0, "attempt": 2, "source": "policy", "outcome": "suppressed"}
        connection.execute(sa.insert(outcomes).values(left_out | {"recorded_at": at}))
    receive_requests(twilio_inbound("Hi", ANN_PHONE, "SM1"), twilio_inbound("Hi", BOB_PHONE, "SM2"))
    receive(engine, lake, settings)
    found = {row["provider_id"]: row["run_id"] for row in lake_events(lake).to_dicts()}
    assert found == {"SM1": run, "SM2": SMS_RUN}


def test_stop_suppresses_the_number_and_start_lifts_just_that(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    with writing(engine) as connection:
        record_consent(connection, ANN, Channel.SMS, ConsentState.GRANTED, source="form", at=NOW - timedelta(days=9))
    receive_requests(twilio_inbound("Stop", sid="SM1"), twilio_status("undelivered", "b" * 24, ErrorCode="30005"))
    assert receive(engine, lake, settings).suppressed == 2
    assert suppressed(engine, Channel.SMS) == [(ANN_PHONE, "opted_out"), (BOB_PHONE, "hard_bounce")]
    assert consent(engine, Channel.SMS) == {ANN: "withdrawn"}
    start = [twilio_inbound("START", phone, f"SM{phone}") for phone in (ANN_PHONE, BOB_PHONE)]
    receive_requests(*start, *start, at=NOW + timedelta(hours=1))
    assert receive(engine, lake, settings).suppressed == 0
    assert suppressed(engine, Channel.SMS) == [(BOB_PHONE, "hard_bounce")]
    assert consent(engine, Channel.SMS) == {ANN: "granted"}
    receive_requests(twilio_inbound("STOP", sid="SM1"), at=NOW + timedelta(hours=2))  # the first one, once more
    assert receive(engine, lake, settings).suppressed == 0
    assert suppressed(engine, Channel.SMS) == [(BOB_PHONE, "hard_bounce")]


def test_start_gives_no_consent_back_that_was_withdrawn_otherwise(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    with writing(engine) as connection:
        record_consent(connection, ANN, Channel.SMS, ConsentState.WITHDRAWN, source="form", at=NOW - timedelta(days=9))
    receive_requests(twilio_inbound("START"))
    receive(engine, lake, settings)
    assert consent(engine, Channel.SMS) == {ANN: "withdrawn"}


def test_stop_from_an_unknown_number_is_suppressed_too(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    receive_requests(twilio_inbound("STOP", "+12025550199"))
    assert receive(engine, lake, settings).suppressed == 1
    assert suppressed(engine, Channel.SMS) == [("+12025550199", "opted_out")]


def test_events_settle_doubts(engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any) -> None:
    run = "doubt--20260303t090000z"
    with writing(engine) as connection:
        emails = (ANN_EMAIL, "bob@example.com")
        add_run(connection, lake, run, "doubt", "email", emails, NOW - timedelta(hours=3), outcome="in_doubt")
    item = sendgrid_item("processed", run_id=run, message_id=message_id(run, ANN, "email"))
    receive_requests(sendgrid_post(item | {"event": "deferred", "attempt": "9"}, item, item))
    assert receive(engine, lake, settings).settled == 1
    with reading(engine) as connection:
        query = sa.select(outcomes).where(outcomes.c.run_id == run, outcomes.c.source == "event")
        [row] = connection.execute(query)
    assert (row.message_no, row.attempt, row.outcome, row.provider_id) == (0, 1, "accepted", "x-aaaa")
    receive_requests(sendgrid_post(item), at=NOW + timedelta(hours=1))
    assert receive(engine, lake, settings).settled == 0


def test_a_start_leaves_a_consent_that_was_never_confirmed_pending(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    with writing(engine) as connection:
        ask_consent(connection, ANN, Channel.SMS, source="form", at=NOW - timedelta(days=1))
    receive_requests(twilio_inbound("STOP", sid="SM1"))
    receive(engine, lake, settings)
    assert consent(engine, Channel.SMS) == {ANN: "withdrawn"}
    receive_requests(twilio_inbound("START", sid="SM2"), at=NOW + timedelta(hours=1))
    receive(engine, lake, settings)
    assert consent(engine, Channel.SMS) == {ANN: "pending"}


def test_an_opt_out_withdraws_consent_for_the_purpose_of_the_run_too(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    with writing(engine) as connection:
        definition = {"channel": "email", "purpose": "newsletter"}
        of_run = campaign_versions.c.campaign == "spring-sale"
        connection.execute(sa.update(campaign_versions).where(of_run).values(definition=definition))
        for purpose in ("marketing", "newsletter", "invoices"):
            said = ConsentState.GRANTED
            before = NOW - timedelta(days=1)
            record_consent(connection, ANN, Channel.EMAIL, said, source="form", at=before, purpose=purpose)
    receive_requests(unsubscription())
    receive(engine, lake, settings)
    with reading(engine) as connection:
        states = {
            purpose: current_consent(connection, Channel.EMAIL, purpose)["state"].item()
            for purpose in ("marketing", "newsletter", "invoices")
        }
    assert states == {"marketing": "withdrawn", "newsletter": "withdrawn", "invoices": "granted"}


def test_a_confirmation_grants_what_was_asked_and_is_no_event(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    with writing(engine) as connection:
        asked = ask_consent(connection, ANN, Channel.EMAIL, source="form", at=NOW - timedelta(days=1))
    kept = {"contact_id": ANN, "consent_id": str(asked.consent_id), "ip": "203.0.113.7"}
    receive_requests(("own", "confirm", kept, b""), ("own", "confirm", kept, b""))
    received = receive(engine, lake, settings)
    assert (received.confirmed, received.events, received.rejected) == (1, 0, 0)
    assert consent(engine, Channel.EMAIL) == {ANN: "granted"}
    with reading(engine) as connection:
        query = sa.select(consents.c.evidence, consents.c.recorded_at).where(consents.c.state == "granted")
        [(evidence, recorded_at)] = connection.execute(query).all()
    assert evidence == {"confirms": asked.consent_id, "ip": "203.0.113.7"}
    assert recorded_at == NOW


def test_a_confirmation_that_names_nothing_is_set_aside(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    receive_requests(("own", "confirm", {"contact_id": ANN, "consent_id": "x"}, b""))
    received = receive(engine, lake, settings)
    assert (received.confirmed, received.rejected) == (0, 1)


def test_events_of_tests_and_seeds_are_counted_and_kept_nowhere(
    engine: sa.Engine, lake: Lake, settings: Settings, receive_requests: Any
) -> None:
    trial = trial_run_id("spring-sale", NOW)
    receive_requests(
        sendgrid_post(*(sendgrid_item(each, run_id=trial) for each in ("delivered", "click", "spamreport"))),
        sendgrid_post(sendgrid_item("bounce", run_id=trial), sendgrid_item("open")),
    )
    received = receive(engine, lake, settings)
    assert (received.trials, received.events, received.unknown, received.rejected) == (4, 1, 0, 0)
    assert received.suppressed == 0
    assert received.touched_runs == {RUN}
    assert lake_events(lake)["run_id"].to_list() == [RUN]
    assert count(engine, suppressions) == 0
