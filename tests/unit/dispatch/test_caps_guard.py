"""Frequency caps at each claim: against plain Python, one after the other and at the same moment."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaign_pipeline.campaigns.caps import applying
from campaign_pipeline.campaigns.sending_policy import Cap
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.tables import claims, contacted, metadata, outcomes
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch.channels.base import Batch, Message
from campaign_pipeline.dispatch.guards.base import Guard, LeftOut
from campaign_pipeline.dispatch.guards.caps import CODE, UnderCaps
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.sender import Sender
from campaign_pipeline.messages.skeletons import MessageSkeleton
from tests.databases import sqlite_database

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
PROCESSED = (Kind.ACCEPTED, Kind.NO_ANSWER)


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[sa.Engine]:
    if request.param == "postgresql":
        yield request.getfixturevalue("postgres_engine")
        return
    engine = sqlite_database(tmp_path / "caps.db")
    yield engine
    engine.dispose()


def empty(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(sa.delete(table))


def batch(run: int, contacts: Sequence[int], attempt: int = 1, **fields: Any) -> Batch:
    messages = tuple(Message(n, f"{run:012x}{who:012x}", f"+1{who}", (), f"c{who}") for n, who in enumerate(contacts))
    return Batch(
        f"run{run}--20260302t090000z", f"run{run}", "plain", 0, attempt, MessageSkeleton(()), messages, **fields
    )


@dataclass(frozen=True)
class Send:
    """A batch of one run: `answers` are those of its messages at each attempt."""

    run: int
    channel: Channel
    purpose: str
    hours: int
    contacts: tuple[int, ...]
    answers: tuple[Kind, ...]


@dataclass(frozen=True)
class Got:
    """That a contact got, or may have got, a message."""

    who: str
    run: str
    at: datetime
    channel: Channel
    purpose: str


def send(engine: sa.Engine, channel: Any, caps: Sequence[Cap], one: Send, more: Sequence[Guard] = ()) -> set[Got]:
    """What contacts got of it, at the claim's time."""
    now = START + one.hours * HOUR
    channel.name = one.channel
    channel.answers = lambda message, attempt: one.answers[(message.message_no + attempt) % len(one.answers)]
    counting = applying(caps, one.channel, one.purpose)
    guards = [UnderCaps(counting, one.channel, one.purpose)] if counting else []
    patience = Patience(tries=2, sleep=lambda _seconds: None)
    Sender(engine, channel, "w", lambda: now, None, [*guards, *more], lambda: None, patience).send(
        batch(one.run, one.contacts)
    )
    by_number = dict(enumerate(one.contacts))
    return {
        Got(f"c{by_number[number]}", f"{one.run}", now, one.channel, one.purpose) for number, _ in channel.processed
    }


def too_many(caps: Sequence[Cap], got: Sequence[Got]) -> list[tuple[Cap, Got]]:
    """The windows, each beginning with a message, in which a contact got more than a cap allows."""
    return [
        (cap, first)
        for cap, first in itertools.product(caps, got)
        if sum(
            first.who == other.who
            and first.at <= other.at < first.at + cap.within
            and cap.channel in (None, other.channel)
            and (not cap.purposes or other.purpose in cap.purposes)
            for other in got
        )
        > cap.at_most
    ]


CAPS = st.lists(
    st.builds(
        Cap,
        at_most=st.integers(1, 3),
        within=st.sampled_from(["1h", "5h", "24h"]),
        channel=st.sampled_from([None, None, Channel.SMS, Channel.EMAIL]),
        purposes=st.sampled_from([(), (), ("marketing",), ("news", "marketing")]),
    ),
    min_size=1,
    max_size=3,
)
ANSWERS = (Kind.ACCEPTED, Kind.ACCEPTED, Kind.NO_ANSWER, Kind.NOT_CONNECTED, Kind.THROTTLED, Kind.HARD_PAIR)


def sends(hours: int) -> st.SearchStrategy[list[Send]]:
    one = st.builds(
        Send,
        run=st.just(0),
        channel=st.sampled_from([Channel.SMS, Channel.EMAIL]),
        purpose=st.sampled_from(["marketing", "news", "bills"]),
        hours=st.integers(0, hours),
        contacts=st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True).map(tuple),
        answers=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=4).map(tuple),
    )
    numbered = st.lists(one, min_size=1, max_size=9)
    return numbered.map(lambda some: [Send(**{**vars(each), "run": n}) for n, each in enumerate(some)])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(caps=CAPS, plan=sends(30))
def test_one_after_the_other_just_those_over_a_cap_are_left_out(
    db: sa.Engine, make_channel: Callable[[], Any], caps: list[Cap], plan: list[Send]
) -> None:
    empty(db)
    got: list[Got] = []
    for one in sorted(plan, key=lambda each: each.hours):
        at = START + one.hours * HOUR
        room = {
            who
            for who in one.contacts
            if not too_many(caps, [*got, Got(f"c{who}", "new", at, one.channel, one.purpose)])
        }
        channel = make_channel()
        got += send(db, channel, caps, one)
        asked = {one.contacts[message.message_no] for request in channel.requests for message in request.messages}
        assert asked == room
    assert too_many(caps, got) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(caps=CAPS, plan=sends(8), workers=st.integers(2, 4))
def test_at_the_same_moment_no_window_has_more_than_a_cap_allows(
    both: sa.Engine, make_channel: Callable[[], Any], caps: list[Cap], plan: list[Send], workers: int
) -> None:
    empty(both)
    ready = Barrier(workers)

    def work(worker: int) -> set[Got]:
        ready.wait(timeout=30)
        got: set[Got] = set()
        for one in plan[worker::workers]:
            got |= send(both, make_channel(), caps, one)
        return got

    with ThreadPoolExecutor(workers) as pool:
        got = [each for found in pool.map(work, range(workers)) for each in found]
    assert too_many(caps, got) == []


def one_a_day() -> list[Cap]:
    return [Cap.model_validate({"at_most": 1, "within": "24h"})]


def rows(engine: sa.Engine) -> list[tuple[Any, ...]]:
    columns = contacted.c.run_id, contacted.c.message_no, contacted.c.attempt, contacted.c.contact_id, contacted.c.at
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(*columns))]


def test_who_is_over_is_recorded_as_left_out_with_the_claim(both: sa.Engine, make_channel: Callable[[], Any]) -> None:
    send(both, make_channel(), one_a_day(), Send(1, Channel.SMS, "marketing", 0, (1, 2), (Kind.ACCEPTED,)))
    channel = make_channel()
    send(both, channel, one_a_day(), Send(2, Channel.SMS, "marketing", 23, (1, 3), (Kind.ACCEPTED,)))
    assert channel.processed == [(1, 1)]
    with reading(both) as connection:
        query = sa.select(outcomes.c.message_no, outcomes.c.source, outcomes.c.outcome, outcomes.c.code)
        run = outcomes.c.run_id.startswith("run2")
        found = connection.execute(query.where(run).order_by(outcomes.c.message_no)).all()
    assert found[0] == (0, "policy", Outcome.SUPPRESSED, CODE)


def test_attempts_of_a_message_count_once_from_the_last(both: sa.Engine, make_channel: Callable[[], Any]) -> None:
    channel, now = make_channel(), [START, START + HOUR]
    channel.name = Channel.SMS
    channel.answers = lambda _message, attempt: Kind.ACCEPTED if attempt == 2 else Kind.THROTTLED
    guard = UnderCaps(one_a_day(), Channel.SMS, "marketing")
    patience = Patience(tries=2, sleep=lambda _seconds: now.pop(0) and None)
    Sender(both, channel, "w", lambda: now[0], None, [guard], lambda: None, patience).send(batch(1, [7]))
    assert channel.processed == [(0, 2)]
    assert rows(both) == [("run1--20260302t090000z", 0, 2, "c7", START + HOUR)]


def test_a_fallback_takes_the_place_of_the_message_before(both: sa.Engine, make_channel: Callable[[], Any]) -> None:
    send(both, make_channel(), one_a_day(), Send(1, Channel.WHATSAPP, "marketing", 0, (7,), (Kind.ACCEPTED,)))
    channel = make_channel()
    fallback = Batch(
        "run1--20260302t090000z", "run1", "plain", 5, 1, MessageSkeleton(()), (Message(9, "", "+17", (), "c7"),), step=1
    )
    guard = UnderCaps(one_a_day(), Channel.SMS, "marketing")
    later = START + 2 * HOUR
    Sender(both, channel, "w", lambda: later, None, [guard], lambda: None, Patience()).send(fallback)
    assert channel.processed == [(9, 1)]
    assert rows(both) == [("run1--20260302t090000z", 9, 1, "c7", later)]


def test_nothing_is_kept_of_a_claim_that_another_worker_has(both: sa.Engine, make_channel: Callable[[], Any]) -> None:
    with both.begin() as connection:
        row = {"run_id": "run1--20260302t090000z", "batch_no": 0, "attempt": 1, "worker": "other", "claimed_at": START}
        connection.execute(sa.insert(claims).values(row))
    channel = make_channel()
    send(both, channel, one_a_day(), Send(1, Channel.SMS, "marketing", 0, (1,), (Kind.ACCEPTED,)))
    assert (channel.processed, rows(both)) == ([], [])


def test_who_is_left_out_by_a_later_guard_does_not_count(both: sa.Engine, make_channel: Callable[[], Any]) -> None:
    class Nobody(Guard):
        def within(self, connection: sa.Connection, batch: Batch, now: datetime) -> Sequence[LeftOut]:
            return [LeftOut(message.message_no, Outcome.SUPPRESSED, "nobody") for message in batch.messages]

    one = Send(1, Channel.SMS, "marketing", 0, (7,), (Kind.ACCEPTED,))
    assert send(both, make_channel(), one_a_day(), one, [Nobody()]) == set()
    again = Send(2, Channel.SMS, "marketing", 1, (7,), (Kind.ACCEPTED,))
    assert {each.who for each in send(both, make_channel(), one_a_day(), again)} == {"c7"}
