"""Consent as its contact changes it: what it may change from where, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.contacts.preferences import Preference, change_preferences, preferences_of
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import consents
from campaign_pipeline.core.words import Channel, ConsentState

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
ANN, BOB = "a" * 24, "b" * 24
GRANTED, WITHDRAWN = ConsentState.GRANTED, ConsentState.WITHDRAWN


@pytest.fixture(params=["engine", "postgres_engine"])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    engine: sa.Engine = request.getfixturevalue(request.param)
    with writing(engine) as connection:
        for contact, channel, state, topic, day in (
            (ANN, Channel.EMAIL, WITHDRAWN, "marketing", 1),
            (ANN, Channel.EMAIL, GRANTED, "marketing", 2),
            (ANN, Channel.SMS, WITHDRAWN, "marketing", 1),
            (ANN, Channel.SMS, GRANTED, "events", 1),
            (BOB, Channel.EMAIL, GRANTED, "marketing", 1),
        ):
            record_consent(
                connection, contact, channel, state, source="form", at=AT + timedelta(days=day), purpose=topic
            )
    return engine


def change(engine: sa.Engine, *wanted: Preference, by: Channel = Channel.EMAIL) -> int:
    with writing(engine) as connection:
        at = AT + timedelta(days=9)
        return change_preferences(connection, ANN, wanted, by=by, at=at, source_id="s", evidence={"run_id": "r"})


def present(engine: sa.Engine, contact: str = ANN) -> list[tuple[str, str, str]]:
    with reading(engine) as connection:
        return [(each.topic, each.channel, each.state) for each in preferences_of(connection, contact)]


def test_the_newest_entry_of_each_topic_and_channel_is_shown(database: sa.Engine) -> None:
    assert present(database) == [
        ("events", "sms", "granted"),
        ("marketing", "email", "granted"),
        ("marketing", "sms", "withdrawn"),
    ]
    assert present(database, "c" * 24) == []


def test_what_changes_is_appended_and_nothing_else(database: sa.Engine) -> None:
    wanted = [
        Preference("marketing", Channel.EMAIL, WITHDRAWN),
        Preference("marketing", Channel.SMS, GRANTED),
        Preference("events", Channel.SMS, GRANTED),
    ]
    assert change(database, *wanted) == 2
    assert change(database, *wanted) == 0
    assert present(database) == [
        ("events", "sms", "granted"),
        ("marketing", "email", "withdrawn"),
        ("marketing", "sms", "granted"),
    ]
    assert present(database, BOB) == [("marketing", "email", "granted")]
    with reading(database) as connection:
        rows = connection.execute(sa.select(consents).where(consents.c.source == "preferences")).all()
    assert [(row.evidence, row.recorded_at) for row in rows] == [({"run_id": "r"}, AT + timedelta(days=9))] * 2


def test_a_link_in_an_email_proves_nothing_about_the_phone(database: sa.Engine) -> None:
    whatsapp = Preference("marketing", Channel.WHATSAPP, GRANTED)
    assert change(database, whatsapp) == 0
    assert change(database, Preference("news", Channel.EMAIL, GRANTED)) == 1
    assert change(database, whatsapp, by=Channel.WHATSAPP) == 1
    assert change(database, Preference("news", Channel.WHATSAPP, WITHDRAWN)) == 1
