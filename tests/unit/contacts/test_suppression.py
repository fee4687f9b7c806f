"""Suppression follows the address; every reason stands by itself."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts.suppression import Suppression, active_suppressions, lift, suppress
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.words import Channel, SuppressionReason

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ANN = "ann@example.com"


@pytest.fixture(params=["engine", pytest.param("postgres_engine", id="postgres")])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    return request.getfixturevalue(request.param)


def entry(
    address: str, reason: SuppressionReason, source: str, hours: int = 0, channel: Channel = Channel.EMAIL
) -> Suppression:
    return Suppression(channel, address, reason, source, NOW + timedelta(hours=hours))


def active(engine: sa.Engine, channel: Channel = Channel.EMAIL) -> dict[str, str]:
    with reading(engine) as connection:
        return dict(active_suppressions(connection, channel).iter_rows())


def test_a_replayed_event_adds_nothing_and_case_does_not_matter(database: sa.Engine) -> None:
    rows = [entry("Ann@Example.com", SuppressionReason.UNSUBSCRIBED, "event-1")]
    with writing(database) as connection:
        assert suppress(connection, rows) == 1
        assert suppress(connection, rows) == 0
        assert suppress(connection, []) == 0
    assert active(database) == {ANN: "unsubscribed"}
    assert active(database, Channel.SMS) == {}


def test_lifting_one_reason_leaves_the_others(database: sa.Engine) -> None:
    phone = "+12125550123"
    with writing(database) as connection:
        suppress(connection, [entry(phone, SuppressionReason.MANUAL, "operator-1", 0, Channel.SMS)])
        suppress(connection, [entry(phone, SuppressionReason.OPTED_OUT, "stop-1", 1, Channel.SMS)])
    assert active(database, Channel.SMS) == {phone: "opted_out"}
    with writing(database) as connection:
        assert lift(connection, [entry(phone, SuppressionReason.OPTED_OUT, "start-1", 2, Channel.SMS)]) == 1
    assert active(database, Channel.SMS) == {phone: "manual"}
    with writing(database) as connection:
        lift(connection, [entry(phone, SuppressionReason.MANUAL, "operator-2", 3, Channel.SMS)])
    assert active(database, Channel.SMS) == {}
    with writing(database) as connection:
        suppress(connection, [entry(phone, SuppressionReason.OPTED_OUT, "stop-2", 4, Channel.SMS)])
    assert active(database, Channel.SMS) == {phone: "opted_out"}
