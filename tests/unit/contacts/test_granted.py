"""Who has consented: the newest entry of each contact counts, and of equal times the last one entered."""

import random
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from campaign_pipeline.contacts.consent import GrantedIds, granted_ids, record_consent
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import consents
from campaign_pipeline.core.words import Channel, ConsentState

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_the_newest_entry_counts_whatever_the_order_of_entry(database: sa.Engine) -> None:
    draw = random.Random(7)
    entries = [
        (
            f"{draw.randrange(300):024d}",
            draw.choice([Channel.EMAIL, Channel.SMS]).value,
            draw.choice(["marketing", "news"]),
            draw.choice(list(ConsentState)).value,
            AT + timedelta(seconds=draw.randrange(4) / 2),  # many are equal, some have a fraction
        )
        for _ in range(3000)
    ]
    names = ("contact_id", "channel", "purpose", "state", "recorded_at")
    with writing(database) as connection:
        rows = [dict(zip(names, entry, strict=True)) | {"source": "test", "evidence": {}} for entry in entries]
        connection.execute(sa.insert(consents), rows)
    newest: dict[str, tuple[datetime, int, str]] = {}
    for number, (contact, channel, purpose, state, at) in enumerate(entries):
        if (channel, purpose) == ("email", "marketing"):
            newest[contact] = max(newest.get(contact, (at, -1, "")), (at, number, state))
    expected = {contact for contact, (_, _, state) in newest.items() if state == "granted"}
    with reading(database) as connection:
        found = granted_ids(connection, Channel.EMAIL, "marketing").to_list()
    assert len(expected) > 50
    assert sorted(found) == sorted(expected)


def test_nobody_has_said_anything(database: sa.Engine) -> None:
    with reading(database) as connection:
        assert granted_ids(connection, Channel.EMAIL).to_list() == []


def test_consent_that_was_read_is_read_again_after_an_entry(database: sa.Engine) -> None:
    ids = GrantedIds()

    def say(state: ConsentState) -> list[str]:
        with writing(database) as connection:
            record_consent(connection, "a" * 24, Channel.SMS, state, source="test", at=AT)
        with reading(database) as connection:
            return ids(connection, Channel.SMS, "marketing").to_list()

    assert say(ConsentState.GRANTED) == ["a" * 24]
    assert say(ConsentState.WITHDRAWN) == []
