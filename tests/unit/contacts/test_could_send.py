"""Could we send to this contact on that day? The query and a plain-Python model agree on any history."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.contacts.could_send import could_send
from campaign_pipeline.contacts.suppression import Suppression, lift, suppress, suppress_erased
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.core.words import Channel, ConsentState, SuppressionReason

TakenBack = Callable[[], AbstractContextManager[sa.Connection]]

START = datetime(2026, 3, 1, tzinfo=UTC)
ANN, BOB = "a" * 24, "b" * 24
EMAIL = "ann@example.com"
SECRET = SecretStr("one")

hours = st.integers(0, 6)
said = st.tuples(
    hours,
    st.sampled_from([ANN, BOB]),
    st.sampled_from([Channel.EMAIL, Channel.SMS]),
    st.sampled_from(["marketing", "news"]),
    st.sampled_from(list(ConsentState)),
)
stopped = st.tuples(
    hours, st.sampled_from([EMAIL, "bob@example.com"]), st.sampled_from(["", "news"]), st.booleans(), st.none() | hours
)


def moment(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def add_people(connection: sa.Connection) -> None:
    for contact_id, email in ((ANN, EMAIL), (BOB, None)):
        row = {"contact_id": contact_id, "external_id": contact_id, "email": email, "attributes": {}}
        connection.execute(sa.insert(contacts).values(row | {"created_at": START, "updated_at": START}))


@settings(deadline=None)
@given(consent=st.lists(said, max_size=8), suppression=st.lists(stopped, max_size=6), at=hours)
def test_the_answer_is_that_of_the_records_of_the_time(
    taken_back: TakenBack, consent: list[tuple], suppression: list[tuple], at: int
) -> None:
    with taken_back() as connection:
        add_people(connection)
        for hour, contact_id, channel, purpose, state in consent:
            record_consent(connection, contact_id, channel, state, source=str(hour), at=moment(hour), purpose=purpose)
        for number, (hour, address, topic, lifts, ends) in enumerate(suppression):
            expires_at = None if ends is None else moment(ends)
            reason = SuppressionReason.MANUAL
            row = Suppression(Channel.EMAIL, address, reason, str(number), moment(hour), topic, expires_at)
            (lift if lifts else suppress)(connection, [row])
        answer = could_send(connection, ANN, Channel.EMAIL, "marketing", moment(at), secret=SECRET)
        of_bob = could_send(connection, BOB, Channel.EMAIL, "marketing", moment(at), secret=SECRET)

    spoken = [entry for entry in consent if entry[0] <= at and entry[1:4] == (ANN, Channel.EMAIL, "marketing")]
    newest = sorted(spoken, key=lambda entry: entry[0])[-1:]  # stable: of one hour, the last that was recorded
    held: list[str] = []
    for number, entry in sorted(enumerate(suppression), key=lambda item: (item[1][0], item[0])):
        hour, address, topic, lifts, _ = entry
        if hour <= at and address == EMAIL and topic == "":
            held = [] if lifts else [*held, str(number)]
    held = [number for number in held if suppression[int(number)][4] is None or suppression[int(number)][4] > at]

    assert answer.consent == (newest[0][4] if newest else None)
    assert answer.consent_source == (str(newest[0][0]) if newest else "")
    assert [each.source for each in answer.suppressions] == held
    assert answer.could == (answer.consent == "granted" and not held)
    assert not of_bob.could, "no address"


def test_the_reasons_are_told_in_words(database: sa.Engine) -> None:
    with writing(database) as connection:
        add_people(connection)
        record_consent(connection, ANN, Channel.EMAIL, ConsentState.GRANTED, source="form", at=moment(1))
        bounce = SuppressionReason.SOFT_BOUNCE
        suppress(connection, [Suppression("every", EMAIL, bounce, "e1", moment(2), "marketing", moment(5))])
        suppress_erased(connection, [(Channel.EMAIL, EMAIL)], SECRET, moment(4))
    with reading(database) as connection:

        def reasons(hour: int) -> tuple[bool, list[str]]:
            answer = could_send(connection, ANN, Channel.EMAIL, "marketing", moment(hour), secret=SECRET)
            return answer.could, answer.reasons()

        address = "address: has a valid address now (earlier addresses are not kept)"
        assert reasons(0) == (
            False,
            [address, "consent for marketing: nothing had been said", "suppression: none held"],
        )
        consent = "consent for marketing: granted since 2026-03-01 01:00 UTC (form)"
        assert reasons(1) == (True, [address, consent, "suppression: none held"])
        bounced = "soft_bounce, marketing, every channel, since 2026-03-01 02:00 UTC until 2026-03-01 05:00 UTC"
        assert reasons(3) == (False, [address, consent, f"suppression: {bounced}"])
        erased = "erased, all topics, every channel"
        assert reasons(4) == (False, [address, consent, f"suppression: {bounced}; {erased}"])
        assert reasons(6) == (False, [address, consent, f"suppression: {erased}"])
        news = could_send(connection, ANN, Channel.EMAIL, "news", moment(3), secret=SECRET)
        assert (news.consent, news.suppressions) == (None, ())


def test_a_contact_that_is_not_there_is_an_error(engine: sa.Engine) -> None:
    with reading(engine) as connection, pytest.raises(NotFound, match="c" * 24):
        could_send(connection, "c" * 24, Channel.EMAIL, "marketing", START, secret=SECRET)
