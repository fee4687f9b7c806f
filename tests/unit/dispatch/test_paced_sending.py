"""Runs at a pace: how they wait, what they leave for later, and what one worker's answer means for the others."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.sender_policy import SenderPolicy
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import Outcome, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.ceilings import used_on
from campaign_pipeline.dispatch.guards.base import Guard, LeftOut
from campaign_pipeline.dispatch.guards.pace import Paced
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.worker import Sent, send_due

RUN = "spring-sale--20260302t090000z"
NOW = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)
SENDER = "sendgrid:news@example.com"
OK = Kind.ACCEPTED
Plan = Callable[..., None]


class Office:
    """Workers that share a database, a provider and a clock, which moves when one of them sleeps."""

    def __init__(self, engine: sa.Engine, lake: Lake, channel: Any) -> None:
        self.engine, self.lake, self.channel, self.now = engine, lake, channel, NOW
        self.left: list[tuple[float, int]] = []  # (seconds, messages) of each request
        channel.before = lambda batch: self.left.append(((self.now - NOW).total_seconds(), len(batch.messages)))

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def work(self, policy: Mapping[str, Any] | None = None, **options: Any) -> Sent:
        of = SenderPolicy.model_validate(policy) if policy is not None else None
        return send_due(
            self.engine,
            self.lake,
            RUN,
            self.channel,
            clock=lambda: self.now,
            **{
                "worker": "one",
                "patience": Patience(sleep=self.sleep),
                "guards": [Paced(self.engine, SENDER, of)],
                **options,
            },
        )

    def used(self, day: str, domain: str = "") -> int:
        with reading(self.engine) as connection:
            return used_on(connection, SENDER, day, domain)

    @property
    def messages(self) -> dict[str, int]:
        return dict(account(self.engine, self.lake, RUN).messages)


@pytest.fixture
def office(db: sa.Engine, lake: Lake, channel: Any) -> Office:
    return Office(db, lake, channel)


def test_batches_leave_at_the_rate_after_a_burst(plan: Plan, office: Office) -> None:
    plan(50, 10)
    sent = office.work({"rate": "5/s", "burst": 20})
    assert (dict(sent.outcomes), sent.left) == ({Outcome.ACCEPTED: 50}, 0)
    assert office.left == [(0, 10), (0, 10), (pytest.approx(2), 10), (pytest.approx(4), 10), (pytest.approx(6), 10)]


def test_without_a_policy_nothing_waits_and_nothing_is_counted(plan: Plan, office: Office) -> None:
    plan(30, 10)
    assert office.work().left == 0
    assert office.left == [(0, 10)] * 3
    assert office.used("2026-03-02") == 0


def test_parts_count_and_not_messages(plan: Plan, office: Office) -> None:
    plan(6, 2, sms_parts=[1, 1, 3, 3, 1, 1])
    assert office.work({"rate": "2/s"}).left == 0
    assert office.left == [(0, 2), (pytest.approx(1), 2), (pytest.approx(4), 2)]
    assert office.used("2026-03-02") == 10


def test_a_long_wait_is_not_slept_through(plan: Plan, office: Office) -> None:
    plan(30, 10)
    sent = office.work({"rate": "60/h"})
    assert (sent.left, sent.next_at) == (20, NOW + timedelta(minutes=10))
    assert sent.why == f"{SENDER} keeps its pace"
    assert office.now == NOW
    office.now = NOW + timedelta(minutes=10)
    assert office.work({"rate": "60/h"}).left == 10


def test_a_pause_of_the_run_takes_effect_while_it_waits(plan: Plan, office: Office) -> None:
    plan(30, 10)

    def stopped() -> RunState | None:
        return RunState.PAUSED if office.now > NOW + timedelta(seconds=3) else None

    sent = office.work({"rate": "1/s"}, stopped=stopped)
    assert (sent.ended_by, sent.left) == (RunState.PAUSED, 20)
    assert office.now <= NOW + timedelta(seconds=4)


def test_two_workers_share_the_rate(plan: Plan, office: Office) -> None:
    """The second begins while the first waits: together they are as fast as one."""
    plan(60, 10)
    began = False

    def sleep(seconds: float) -> None:
        nonlocal began
        if not began:
            began = True
            office.work({"rate": "10/s"}, worker="two")
        office.sleep(seconds)

    office.work({"rate": "10/s"}, patience=Patience(sleep=sleep))
    assert office.messages == {"accepted": 60}
    assert [seconds for seconds, _ in office.left] == pytest.approx([0, 1, 2, 3, 4, 5])


def test_a_domain_that_waits_lets_the_others_go_first(plan: Plan, office: Office) -> None:
    plan(60, 10, pace=["gmail.com"] * 30 + [""] * 30)
    assert office.work({"domains": {"gmail.com": {"rate": "1/s"}}}).left == 0
    assert [seconds for seconds, _ in office.left] == pytest.approx([0, 0, 0, 0, 10, 20])
    assert [batch.pace for batch in office.channel.requests] == ["gmail.com", "", "", "", "gmail.com", "gmail.com"]


def test_all_other_domains_share_one_rate(plan: Plan, office: Office) -> None:
    plan(30, 10, pace=["*"] * 20 + ["gmail.com"] * 10)
    assert office.work({"domains": {"*": {"rate": "1/s"}, "gmail.com": {"daily": 100}}}).left == 0
    assert [batch.pace for batch in office.channel.requests] == ["*", "gmail.com", "*"]
    assert (office.used("2026-03-02", "*"), office.used("2026-03-02", "gmail.com")) == (20, 10)


WARM_UP = {"warm_up": {"daily": [15, 30, 30]}}


def test_a_warm_up_takes_its_days(plan: Plan, office: Office) -> None:
    plan(100, 10)
    days: list[tuple[str, int, int]] = []
    for _ in range(4):
        sent = office.work(WARM_UP)
        days.append((f"{office.now:%m-%d}", sent.outcomes[Outcome.ACCEPTED], sent.left))
        office.now = sent.next_at or office.now
    # The fourth day is beyond the plan: what is left goes at once.
    assert days == [("03-02", 15, 85), ("03-03", 30, 55), ("03-04", 30, 25), ("03-05", 25, 0)]
    assert office.messages == {"accepted": 100}
    assert len(office.channel.processed) == len({number for number, _ in office.channel.processed}) == 100


def test_a_day_that_is_used_up_ends_the_call_and_says_when_it_goes_on(plan: Plan, office: Office) -> None:
    plan(40, 10)
    sent = office.work({**WARM_UP, "timezone": "Europe/Berlin"})
    assert sent.next_at == datetime(2026, 3, 2, 23, tzinfo=UTC)
    assert sent.why == f"the day's ceiling of {SENDER} is used up"
    assert str(sent) == f"15 accepted; 25 left ({sent.why})"
    again = office.work({**WARM_UP, "timezone": "Europe/Berlin"})
    assert (again.outcomes.total(), again.left, again.next_at) == (0, 25, sent.next_at)


def test_who_waits_for_the_next_day_is_not_in_doubt(plan: Plan, office: Office) -> None:
    """A batch that the day has room for in part is claimed: those left out are written down with the claim."""
    plan(20, 20)
    office.channel.answers = lambda message, attempt: Kind.THROTTLED if (message.message_no, attempt) == (0, 1) else OK
    office.work(WARM_UP)
    assert office.messages == {"accepted": 15, "not_sent": 5}
    assert office.used("2026-03-02") == 15
    with reading(office.engine) as connection:
        outcomes = ledger.read_ledger(connection, RUN).outcomes
    assert set(outcomes.filter(outcomes["source"] == "policy")["code"]) == {"ceiling"}


def test_guards_that_write_with_the_claim_see_only_those_for_whom_the_day_has_room(plan: Plan, office: Office) -> None:
    plan(20, 20)
    seen: list[int] = []

    class Spy(Guard):
        def within(self, connection: sa.Connection, batch: Any, now: datetime) -> tuple[LeftOut, ...]:
            seen.append(len(batch.messages))
            return ()

    office.work(guards=[Spy(), Paced(office.engine, SENDER, SenderPolicy.model_validate(WARM_UP))])
    assert seen == [15]


def test_a_domain_with_a_full_day_does_not_hold_the_others(plan: Plan, office: Office) -> None:
    plan(40, 10, pace=["gmail.com"] * 20 + [""] * 20)
    policy = {"daily": 100, "domains": {"gmail.com": {"daily": 5}}}
    sent = office.work(policy)
    assert (sent.outcomes[Outcome.ACCEPTED], sent.left) == (25, 15)
    assert sent.next_at == datetime(2026, 3, 3, tzinfo=UTC)
    assert sent.why == f"the day's ceiling of {SENDER} for gmail.com is used up"
    assert (office.used("2026-03-02"), office.used("2026-03-02", "gmail.com")) == (25, 5)


@pytest.mark.parametrize("kind", [Kind.NOT_CONNECTED, Kind.THROTTLED])
def test_what_was_not_sent_uses_up_nothing_of_the_day(plan: Plan, office: Office, kind: Kind) -> None:
    plan(10, 10)
    office.channel.answers = lambda _message, _attempt: kind
    assert office.work(WARM_UP).left == 10
    assert office.used("2026-03-02") == 0
    office.channel.answers = lambda _message, _attempt: OK
    assert office.work(WARM_UP).left == 0
    assert office.used("2026-03-02") == 10


def test_a_claim_that_another_worker_had_uses_up_nothing_of_the_day(plan: Plan, office: Office) -> None:
    plan(20, 10)

    class Rival(Paced):
        def look(self, batch: Any, now: datetime) -> Any:
            ledger.claim(office.engine, RUN, batch.batch_no, 1, "rival", now)
            return super().look(batch, now)

    office.work(WARM_UP, guards=[Rival(office.engine, SENDER, SenderPolicy.model_validate(WARM_UP))])
    assert (office.left, office.used("2026-03-02")) == ([], 0)


@pytest.mark.parametrize("policy", [None, {"rate": "100/s"}])
def test_a_pause_that_the_provider_asks_for_stops_the_other_worker_too(
    plan: Plan, office: Office, policy: dict[str, Any] | None
) -> None:
    plan(20, 10)
    office.channel.retry_after = 30.0
    office.channel.answers = lambda _message, _attempt: Kind.THROTTLED
    office.work(policy, patience=Patience(tries=1, sleep=office.sleep), stopped=_after_one_request(office))
    assert [seconds for seconds, _ in office.left] == [0]
    office.channel.retry_after, office.channel.answers = 0.0, lambda _message, _attempt: OK
    office.work(policy, worker="two")
    assert [seconds >= 30 for seconds, _ in office.left] == [False, True, True]
    assert office.left[1][0] < 32
    assert office.messages == {"accepted": 20}


def test_a_longer_pause_of_the_provider_puts_the_run_off(plan: Plan, office: Office) -> None:
    plan(10, 10)
    office.channel.retry_after = 90.0
    office.channel.answers = lambda _message, _attempt: Kind.THROTTLED
    assert office.work().left == 10
    sent = office.work(worker="two")
    assert (sent.next_at, len(office.left)) == (NOW + timedelta(seconds=90), 1)


def _after_one_request(office: Office) -> Callable[[], RunState | None]:
    return lambda: RunState.PAUSED if office.left else None
