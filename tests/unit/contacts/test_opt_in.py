"""Double opt-in: pending until a signed link is followed, and what happened in between is respected."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from campaign_pipeline.contacts.consent import consent_news, current_consent, record_consent
from campaign_pipeline.contacts.opt_in import (
    Confirmation,
    ask_consent,
    confirm_consent,
    confirmation_token,
    read_confirmation_token,
)
from campaign_pipeline.contacts.suppression import Suppression, active_suppressions, suppress
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.tables import consents, contacts
from campaign_pipeline.core.words import Channel, ConsentState, SuppressionReason

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ANN = "a" * 24
SECRET = SecretStr("one")
GRANTED, PENDING, WITHDRAWN = "granted", "pending", "withdrawn"


def after(hours: int) -> datetime:
    return NOW + timedelta(hours=hours)


def ask(engine: sa.Engine, hours: int = 0) -> int | None:
    with writing(engine) as connection:
        evidence = {"form": "https://shop.example/newsletter", "text_version": "2026-01"}
        asked = ask_consent(connection, ANN, Channel.EMAIL, source="form", at=after(hours), evidence=evidence)
    return asked.consent_id


def confirm(engine: sa.Engine, entry: int | None, hours: int) -> Confirmation:
    assert entry is not None
    with writing(engine) as connection:
        return confirm_consent(connection, ANN, entry, at=after(hours))


def withdraw(engine: sa.Engine, hours: int) -> None:
    with writing(engine) as connection:
        record_consent(connection, ANN, Channel.EMAIL, ConsentState.WITHDRAWN, source="form", at=after(hours))


def state(engine: sa.Engine) -> str:
    with reading(engine) as connection:
        return current_consent(connection, Channel.EMAIL)["state"].item()


def test_consent_is_granted_when_the_link_is_followed_and_not_before(database: sa.Engine) -> None:
    entry = ask(database)
    assert state(database) == PENDING
    assert confirm(database, entry, 1) is Confirmation.GRANTED
    assert state(database) == GRANTED
    assert confirm(database, entry, 2) is Confirmation.WAS_GRANTED
    with reading(database) as connection:
        rows = connection.execute(sa.select(consents).order_by(consents.c.consent_id)).all()
    assert [(row.state, row.source, row.recorded_at) for row in rows] == [
        (PENDING, "form", NOW),
        (GRANTED, "confirmation", after(1)),
    ]
    assert rows[0].evidence == {"form": "https://shop.example/newsletter", "text_version": "2026-01"}
    assert rows[1].evidence == {"confirms": entry}


def test_a_link_does_not_undo_a_later_withdrawal_unless_it_was_asked_for_anew(database: sa.Engine) -> None:
    first = ask(database)
    withdraw(database, 1)
    assert confirm(database, first, 2) is Confirmation.WITHDRAWN_SINCE
    second = ask(database, 3)
    assert confirm(database, first, 4) is Confirmation.WITHDRAWN_SINCE
    assert state(database) == PENDING
    assert confirm(database, second, 5) is Confirmation.GRANTED
    withdraw(database, 6)
    assert confirm(database, second, 7) is Confirmation.WITHDRAWN_SINCE
    assert state(database) == WITHDRAWN


def test_a_confirmation_that_is_taken_in_late_stands_before_the_withdrawal(database: sa.Engine) -> None:
    entry = ask(database)
    withdraw(database, 5)
    assert confirm(database, entry, 1) is Confirmation.GRANTED, "at the time of the click nothing was withdrawn"
    assert state(database) == WITHDRAWN


def test_a_receiver_whose_clock_is_behind_confirms_too(database: sa.Engine) -> None:
    assert confirm(database, ask(database), -1) is Confirmation.GRANTED
    assert state(database) == GRANTED


def test_who_granted_is_not_asked_again(database: sa.Engine) -> None:
    confirm(database, ask(database), 1)
    assert ask(database, 2) is None
    assert state(database) == GRANTED


def test_the_link_of_an_erased_contact_does_nothing(database: sa.Engine) -> None:
    entry = ask(database)
    with writing(database) as connection:
        connection.execute(sa.delete(consents))
    assert confirm(database, entry, 1) is Confirmation.UNKNOWN
    with reading(database) as connection:
        assert connection.execute(sa.select(consents)).all() == []


def test_a_file_does_not_stand_in_for_the_confirmation(database: sa.Engine) -> None:
    ask(database)
    said = pl.DataFrame({"contact_id": [ANN], "channel": ["email"], "state": [GRANTED], "line": [2]})
    with reading(database) as connection:
        news, held = consent_news(connection, said, "crm", "marketing")
    assert (news.height, held) == (0, 1)


def test_confirming_lifts_an_earlier_unsubscription_and_nothing_else(database: sa.Engine) -> None:
    address = "ann@example.com"
    contact = {"contact_id": ANN, "external_id": "1", "email": address, "attributes": {}}
    reasons = (SuppressionReason.UNSUBSCRIBED, SuppressionReason.COMPLAINED)
    with writing(database) as connection:
        connection.execute(sa.insert(contacts).values(contact | {"created_at": NOW, "updated_at": NOW}))
        suppress(connection, [Suppression(Channel.EMAIL, address, reasons[0], "event-1", after(-1))])
    confirm(database, ask(database), 1)
    with writing(database) as connection:
        assert active_suppressions(connection, Channel.EMAIL, at=after(2)).rows() == []
        suppress(connection, [Suppression(Channel.EMAIL, address, reasons[1], "event-2", after(3))])
        suppress(connection, [Suppression(Channel.EMAIL, address, reasons[0], "event-3", after(2))])
    withdraw(database, 3)
    entry = ask(database, 4)
    with writing(database) as connection:
        suppress(connection, [Suppression(Channel.EMAIL, "bob@example.com", reasons[0], "event-4", after(3))])
    confirm(database, entry, 5)
    with reading(database) as connection:
        held = active_suppressions(connection, Channel.EMAIL, at=after(6)).rows()
    assert held == [(address, "complained"), ("bob@example.com", "unsubscribed")]


def test_a_token_is_read_back_and_a_changed_one_is_refused() -> None:
    token = confirmation_token(SECRET, ANN, 17)
    assert read_confirmation_token(SECRET, token) == (ANN, 17)
    others = [token.replace(".17.", ".18."), token[:-1], f"{token}0", token.replace("a", "b", 1), "", "é.1.x"]
    for wrong in [*others, confirmation_token(SecretStr("two"), ANN, 17)]:
        with pytest.raises(InvalidInput, match="not a confirmation link"):
            read_confirmation_token(SECRET, wrong)
