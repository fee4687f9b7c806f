"""What holds at a time: the query and a plain-Python model of the rules agree on any history."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign_pipeline.contacts.suppression import (
    EVERY_CHANNEL,
    EVERY_TOPIC,
    Suppression,
    active_suppressions,
    holding,
    lift,
    suppress,
)
from campaign_pipeline.core.database import migrate, open_database
from campaign_pipeline.core.tables import suppressions
from campaign_pipeline.core.words import Channel, SuppressionReason

START = datetime(2026, 3, 1, tzinfo=UTC)
CHANNELS = (Channel.EMAIL, Channel.SMS, EVERY_CHANNEL)
TOPICS = (EVERY_TOPIC, "marketing", "news")
ADDRESSES = ("ann@example.com", "bob@example.com")
REASONS = (SuppressionReason.OPTED_OUT, SuppressionReason.SOFT_BOUNCE, SuppressionReason.MANUAL)

hours = st.integers(0, 6).map(lambda number: START + timedelta(hours=number))


@dataclass(frozen=True)
class Act:
    channel: str
    topic: str
    address: str
    reason: SuppressionReason
    at: datetime
    lifts: bool
    expires_at: datetime | None

    def key(self) -> tuple[str, ...]:
        return self.channel, self.topic, self.address, self.reason.value


acts = st.builds(
    Act,
    channel=st.sampled_from(CHANNELS),
    topic=st.sampled_from(TOPICS),
    address=st.sampled_from(ADDRESSES),
    reason=st.sampled_from(REASONS),
    at=hours,
    lifts=st.booleans(),
    expires_at=st.none() | hours,
)


def model(history: list[Act], at: datetime, recorded_by: datetime | None = None) -> list[Act]:
    """An act holds unless it expired, or the same reason was lifted after it; acts of one time go by their order."""
    known = sorted((act for act in history if recorded_by is None or act.at <= recorded_by), key=lambda act: act.at)
    held: list[Act] = []
    for act in known:
        if act.lifts:
            held = [other for other in held if other.key() != act.key()]
        else:
            held.append(act)
    return [act for act in held if act.expires_at is None or act.expires_at > at]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def connection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Connection]:
    """One connection for all examples, whose rows each example takes back."""
    if request.param == "sqlite":
        engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('model')}/campaigns.db")
    else:
        engine = open_database(request.getfixturevalue("postgres_url"))
        with engine.begin() as fresh:
            fresh.execute(sa.text("DROP SCHEMA public CASCADE"))
            fresh.execute(sa.text("CREATE SCHEMA public"))
    migrate(engine)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def record(connection: sa.Connection, history: list[Act]) -> None:
    connection.rollback()
    for number, act in enumerate(history):
        row = Suppression(act.channel, act.address, act.reason, str(number), act.at, act.topic, act.expires_at)
        (lift if act.lifts else suppress)(connection, [row])


@settings(deadline=None)
@given(history=st.lists(acts, max_size=12), at=hours, channel=st.sampled_from([Channel.EMAIL, Channel.SMS]))
def test_the_active_suppressions_are_those_of_the_model(
    connection: sa.Connection, history: list[Act], at: datetime, channel: Channel
) -> None:
    record(connection, history)
    for topic in ("marketing", "news"):
        concerned = [
            act
            for act in model(history, at)
            if act.channel in (channel, EVERY_CHANNEL) and act.topic in (topic, EVERY_TOPIC)
        ]
        newest = {act.address: act.reason.value for act in concerned}  # the model tells them in their order
        assert dict(active_suppressions(connection, channel, topic=topic, at=at).iter_rows()) == newest


@settings(deadline=None)
@given(history=st.lists(acts, max_size=12), at=hours)
def test_what_held_on_a_day_is_told_by_what_was_recorded_until_then(
    connection: sa.Connection, history: list[Act], at: datetime
) -> None:
    record(connection, history)
    found = connection.execute(holding(at, recorded_by=at).with_only_columns(suppressions.c.source)).scalars().all()
    expected = {id(act) for act in model(history, at, recorded_by=at)}
    assert sorted(found) == sorted(str(number) for number, act in enumerate(history) if id(act) in expected)
