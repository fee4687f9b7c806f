"""Breakers: what opens them, whom they stop, who may try, and what closes them again."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.sender_policy import BreakerPolicy
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Halted
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch import breakers
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.breakers import PERSON, TRY, TRY_LASTS, Breaker, of_channel
from campaign_pipeline.dispatch.channels.base import Message
from campaign_pipeline.dispatch.guards.breaker import TRIED, Breakers
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.worker import Sent, send_due

RUN = "spring-sale--20260302t090000z"
NOW = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)
SENDER = "twilio:+15005550006"
SMS = of_channel(Channel.SMS)
PAUSE = timedelta(minutes=5)
OK = Kind.ACCEPTED
Plan = Callable[..., None]


class Office:
    """Workers that share a database, a provider and a clock."""

    def __init__(self, engine: sa.Engine, lake: Lake, channel: Any) -> None:
        self.engine, self.lake, self.channel, self.now = engine, lake, channel, NOW
        channel.name, channel.provider = Channel.SMS, "twilio"

    def guard(self, worker: str = "one", **policy: Any) -> Breakers:
        of = BreakerPolicy.model_validate(policy)
        return Breakers(self.engine, Channel.SMS, "twilio", SENDER, worker, of)

    def work(self, worker: str = "one", guard: Breakers | None = None) -> Sent:
        return send_due(
            self.engine,
            self.lake,
            RUN,
            self.channel,
            worker=worker,
            clock=lambda: self.now,
            guards=[guard or self.guard(worker)],
            patience=Patience(tries=2, sleep=lambda _seconds: None),
        )

    def answer(self, kind: Kind) -> None:
        self.channel.answers = lambda _message, _attempt: kind

    def state(self, subject: str = SMS) -> Breaker:
        with reading(self.engine) as connection:
            return breakers.breakers(connection)[subject]

    def changes(self, subject: str = SMS) -> list[tuple[bool, str, str]]:
        table = breakers.breaker_changes
        query = sa.select(table.c.open, table.c.kind, table.c.actor).where(table.c.subject == subject)
        with reading(self.engine) as connection:
            return [tuple(row) for row in connection.execute(query.order_by(table.c.change_id))]

    @property
    def messages(self) -> dict[str, int]:
        return dict(account(self.engine, self.lake, RUN).messages)

    @property
    def sizes(self) -> list[int]:
        return [len(batch.messages) for batch in self.channel.requests]


@pytest.fixture
def office(db: sa.Engine, lake: Lake, channel: Any) -> Office:
    return Office(db, lake, channel)


@pytest.mark.parametrize("kind", [Kind.CONFIG, Kind.WA_ACCOUNT])
def test_refused_credentials_halt_the_channel_for_every_worker(plan: Plan, office: Office, kind: Kind) -> None:
    plan(60, 20)
    office.answer(kind)
    with pytest.raises(Halted) as raised:
        office.work()
    assert "campaigns senders reopen channel:sms --reason WHY" in raised.value.hint
    opened = office.state()
    assert (opened.open, opened.kind, opened.code, opened.since, opened.until) == (True, kind, kind, NOW, NOW + PAUSE)
    office.answer(OK)
    office.now += timedelta(minutes=1)
    sent = office.work("two")
    assert (sent.outcomes.total(), sent.left, sent.next_at) == (0, 60, NOW + PAUSE)
    assert sent.why == opened.says
    assert opened.says.startswith(
        "channel:sms is halted since 2026-03-02 09:00:05 until 2026-03-02 09:05:05 UTC: twilio answered"
    )
    assert office.sizes == [20]


def test_after_the_pause_one_small_batch_tries_and_all_goes_on(plan: Plan, office: Office) -> None:
    plan(60, 20)
    office.answer(Kind.CONFIG)
    with pytest.raises(Halted):
        office.work()
    office.answer(OK)
    office.now += PAUSE
    assert office.work("two").left == 0
    assert office.sizes == [20, TRIED, 20 - TRIED, 20, 20]
    assert office.changes() == [(True, "config", "one"), (True, TRY, "two"), (False, "accepted", "two")]
    assert office.messages == {"accepted": 60}
    assert not office.state().open


def test_while_one_tries_the_others_wait(plan: Plan, office: Office) -> None:
    plan(60, 20)
    office.answer(Kind.CONFIG)
    with pytest.raises(Halted):
        office.work()
    office.answer(OK)
    office.now += PAUSE
    seen: list[Sent] = []
    office.channel.before = lambda _batch: seen.append(office.work("three")) if not seen else None
    assert office.work("two").left == 0
    assert (seen[0].outcomes.total(), seen[0].next_at) == (0, office.now + TRY_LASTS)
    assert office.sizes == [20, TRIED, 20 - TRIED, 20, 20]


def test_of_two_that_want_to_try_at_once_one_does(office: Office, postgres_engine: sa.Engine) -> None:
    for engine in (office.engine, postgres_engine):
        with writing(engine) as connection:
            breakers.trip(
                connection, SMS, Kind.CONFIG, "20003", said_by="twilio", actor="one", at=NOW, pause=PAUSE, longest=PAUSE
            )  # fmt: skip
        with reading(engine) as connection:
            seen = breakers.breakers(connection)[SMS]

        def try_it(number: int, engine: sa.Engine = engine, seen: Breaker = seen) -> int | None:
            with writing(engine) as connection:
                return breakers.hold_for_try(connection, seen, f"worker {number}", NOW + PAUSE)

        with ThreadPoolExecutor(8) as pool:
            tries = [change for change in pool.map(try_it, range(16)) if change is not None]
        assert len(tries) == 1
        with reading(engine) as connection:
            assert breakers.breakers(connection)[SMS].change_id == tries[0]


def test_each_try_that_fails_doubles_the_pause_up_to_the_longest(plan: Plan, office: Office) -> None:
    plan(200, 20)
    office.answer(Kind.CONFIG)
    pauses: list[timedelta] = []
    for _ in range(6):
        with pytest.raises(Halted):
            office.work()
        until = office.state().until
        assert until is not None
        pauses.append(until - office.now)
        office.now = until
    assert [pause / timedelta(minutes=1) for pause in pauses] == [5, 10, 20, 40, 60, 60]
    assert office.state().since == NOW
    assert office.sizes == [20, *[TRIED] * 5]


def test_once_closed_it_begins_with_a_short_pause_again(plan: Plan, office: Office) -> None:
    plan(200, 20)
    office.answer(Kind.CONFIG)
    for _ in range(2):
        with pytest.raises(Halted):
            office.work()
        office.now += timedelta(minutes=20)
    with writing(office.engine) as connection:
        breakers.close(connection, SMS, PERSON, "ann", office.now, "new key")
    with pytest.raises(Halted):
        office.work()
    assert office.state().until == office.now + PAUSE


def test_workers_that_meet_the_same_refusal_open_it_once(plan: Plan, office: Office) -> None:
    plan(40, 20)
    office.answer(Kind.CONFIG)
    again = iter([True])

    def rival(_batch: Any) -> None:
        if next(again, False):
            with pytest.raises(Halted):
                office.work("two")

    office.channel.before = rival
    with pytest.raises(Halted):
        office.work()
    assert office.changes() == [(True, "config", "two")]


def test_a_worker_that_dies_while_it_tries_holds_the_others_for_minutes_only(plan: Plan, office: Office) -> None:
    plan(40, 20)
    office.answer(Kind.CONFIG)
    with pytest.raises(Halted):
        office.work()
    office.now += PAUSE

    class Killed(BaseException):
        """As kill -9."""

    def die(_batch: Any) -> None:
        raise Killed

    office.answer(OK)
    office.channel.before = die
    with pytest.raises(Killed):
        office.work("two")
    office.channel.before = lambda _batch: None
    assert office.work("three").next_at == office.now + TRY_LASTS
    office.now += TRY_LASTS
    assert office.work("three").left == 0
    assert office.messages == {"in_doubt": TRIED, "accepted": 40 - TRIED}  # of the killed try nobody knows


def test_a_try_that_is_throttled_goes_on_trying(plan: Plan, office: Office) -> None:
    plan(20, 20)
    office.answer(Kind.CONFIG)
    with pytest.raises(Halted):
        office.work()
    office.now += PAUSE
    office.channel.answers = lambda _message, attempt: Kind.THROTTLED if attempt == 2 else OK
    assert office.work().left == 0
    assert office.sizes == [20, TRIED, TRIED, 20 - TRIED]
    assert not office.state().open


def test_content_that_is_refused_stops_the_run_and_no_channel(plan: Plan, office: Office) -> None:
    plan(20, 20)
    office.answer(Kind.CONTENT)
    with pytest.raises(Halted):
        office.work()
    with reading(office.engine) as connection:
        assert breakers.breakers(connection) == {}


def _numbers(prefixes: Sequence[str]) -> list[str]:
    return [f"{prefix}{number:07d}" for number, prefix in enumerate(prefixes)]


GERMANY, JAMAICA = "country:sms:+49", "country:sms:+1-JM"


def refuse(*prefixes: str) -> Callable[[Message, int], Kind]:
    return lambda message, _attempt: Kind.COUNTRY if message.address.startswith(prefixes) else OK


def test_a_country_that_is_refused_is_held_and_the_others_go_on(plan: Plan, office: Office) -> None:
    plan(30, 10, address=_numbers(["+4915", "+1212", "+1876"] * 10))
    office.channel.answers = refuse("+49")
    sent = office.work()
    assert (dict(sent.outcomes), sent.left, sent.next_at) == ({Outcome.ACCEPTED: 20}, 10, NOW + PAUSE)
    assert office.messages == {"accepted": 20, "not_sent": 10}  # none of them is in doubt
    held = office.state(GERMANY)
    assert (held.open, held.kind, held.reason) == (
        True,
        "country",
        "twilio answered country: the account may not send to that country",
    )
    assert sum(address.startswith("+49") for address in _asked(office)) == 4  # those of the first batch


def test_countries_that_share_a_code_are_told_apart(plan: Plan, office: Office) -> None:
    plan(4, 2, address=["+18765550001", "+12125550001", "+18765550002", "+12125550002"])
    office.channel.answers = refuse("+1876")
    assert dict(office.work().outcomes) == {Outcome.ACCEPTED: 2}
    assert office.state(JAMAICA).open


def test_one_message_tries_a_country_and_the_others_follow(plan: Plan, office: Office) -> None:
    plan(6, 6, address=_numbers(["+4915"] * 5 + ["+1212"]))
    office.channel.answers = refuse("+49")
    assert office.work().left == 5
    office.now += timedelta(minutes=1)
    waiting = office.work("two")
    assert (waiting.left, waiting.next_at, len(office.channel.requests)) == (5, NOW + PAUSE, 1)
    office.now = NOW + PAUSE
    assert office.work("two").left == 5  # still refused: one more message was spent on it
    assert office.state(GERMANY).until == office.now + 2 * PAUSE
    office.now += 2 * PAUSE
    office.answer(OK)
    assert office.work("two").left == 0
    assert office.sizes == [6, 1, 1, 4]
    assert not office.state(GERMANY).open


def _asked(office: Office) -> list[str]:
    return [message.address for batch in office.channel.requests for message in batch.messages]


SENDER_SUBJECT = f"sender:{SENDER}"


def test_a_sender_that_is_filtered_too_often_is_held(plan: Plan, office: Office) -> None:
    plan(60, 10)
    office.channel.answers = lambda message, _attempt: Kind.FILTERED if message.message_no % 5 == 0 else OK
    sent = office.work(guard=office.guard(filtered=6, of=30))
    assert (dict(sent.outcomes), sent.left) == ({Outcome.ACCEPTED: 24, Outcome.REJECTED: 6}, 30)
    held = office.state(SENDER_SUBJECT)
    assert (held.open, held.kind, held.until) == (True, "filtered", NOW + PAUSE)
    assert sent.why == held.says


def test_a_message_filtered_now_and_then_holds_nobody(plan: Plan, office: Office) -> None:
    plan(60, 10)
    office.channel.answers = lambda message, _attempt: Kind.FILTERED if message.message_no % 10 == 0 else OK
    assert office.work(guard=office.guard(filtered=4, of=30)).left == 0
    with reading(office.engine) as connection:
        assert breakers.breakers(connection) == {}


def test_a_sender_that_is_held_tries_and_is_held_again_or_goes_on(plan: Plan, office: Office) -> None:
    plan(60, 20)
    office.answer(Kind.FILTERED)
    guard = office.guard(filtered=20, of=50)
    assert office.work(guard=guard).left == 40
    office.now += PAUSE
    assert office.work(guard=guard).left == 40 - TRIED  # fewer than 20, but the try had nothing else
    assert office.state(SENDER_SUBJECT).until == office.now + 2 * PAUSE
    office.now += 2 * PAUSE
    office.answer(OK)
    assert office.work(guard=guard).left == 0
    assert not office.state(SENDER_SUBJECT).open


def test_what_a_person_closes_goes_on_at_once(plan: Plan, office: Office) -> None:
    plan(20, 20)
    office.answer(Kind.CONFIG)
    with pytest.raises(Halted):
        office.work()
    office.answer(OK)
    guard = office.guard("two")
    assert office.work(guard=guard).left == 20
    with writing(office.engine) as connection:
        breakers.close(connection, SMS, PERSON, "ann", office.now, "new key")
    assert office.work(guard=guard).left == 0
    assert office.sizes == [20, 20]  # whole: nobody has to try


def test_a_breaker_without_an_end_waits_for_a_person(plan: Plan, office: Office) -> None:
    plan(20, 20)
    row = {"subject": SMS, "open": True, "actor": "ann", "reason": "wrong price", "changed_at": NOW}
    with writing(office.engine) as connection:
        connection.execute(sa.insert(breakers.breaker_changes).values(row))
    office.now += timedelta(days=30)
    sent = office.work()
    assert (sent.left, sent.next_at) == (20, office.now + timedelta(hours=1))
    assert sent.why == "channel:sms is halted since 2026-03-02 09:00:05: wrong price"
