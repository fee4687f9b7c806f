"""What holds at a time: the query and a plain-Python model of the rules agree on any history."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
from campaign_pipeline.core.tables import suppressions
from campaign_pipeline.core.words import Channel, SuppressionReason

TakenBack = Callable[[], AbstractContextManager[sa.Connection]]

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


def record(connection: sa.Connection, history: list[Act]) -> None:
    for number, act in enumerate(history):
        row = Suppression(act.channel, act.address, act.reason, str(number), act.at, act.topic, act.expires_at)
        (lift if act.lifts else suppress)(connection, [row])


@settings(deadline=None)
@given(history=st.lists(acts, max_size=12), at=hours, channel=st.sampled_from([Channel.EMAIL, Channel.SMS]))
def test_the_active_suppressions_are_those_of_the_model(
    taken_back: TakenBack, history: list[Act], at: datetime, channel: Channel
) -> None:
    with taken_back() as connection:
        record(connection, history)
        found = {
            topic: dict(active_suppressions(connection, channel, topic=topic, at=at).iter_rows())
            for topic in ("marketing", "news")
        }
    for topic, reasons in found.items():
        concerned = [
            act
            for act in model(history, at)
            if act.channel in (channel, EVERY_CHANNEL) and act.topic in (topic, EVERY_TOPIC)
        ]
        # The model tells them in their order: the newest counts.
        assert reasons == {act.address: act.reason.value for act in concerned}


@settings(deadline=None)
@given(history=st.lists(acts, max_size=12), at=hours)
def test_what_held_on_a_day_is_told_by_what_was_recorded_until_then(
    taken_back: TakenBack, history: list[Act], at: datetime
) -> None:
    with taken_back() as connection:
        record(connection, history)
        query = holding(at, recorded_by=at).with_only_columns(suppressions.c.source)
        found = connection.execute(query).scalars().all()
    expected = {id(act) for act in model(history, at, recorded_by=at)}
    assert sorted(found) == sorted(str(number) for number, act in enumerate(history) if id(act) in expected)
