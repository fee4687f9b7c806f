"""One rate for all: never more than rate * t + burst units leave in any window, whoever takes them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import pacing
from campaign_pipeline.dispatch.pacing import LARGEST_BATCH, LONGEST_BACKOFF, Pace, back_off, backing_off, slot, take

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
START = NOW.timestamp()
SENDER = "sendgrid:news@example.com"


@pytest.fixture(params=["db", "postgres_engine"])
def either(request: pytest.FixtureRequest) -> sa.Engine:
    """Each of the two databases."""
    return request.getfixturevalue(request.param)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def taken(engine: sa.Engine, units: int, now: datetime, *paces: Pace, sender: str = SENDER) -> bool:
    with writing(engine) as connection:
        return not any(take(connection, sender, paces, units, now))


def most_over(left: Sequence[tuple[float, int]], rate: float) -> float:
    """Units beyond rate * t in the window where it is most, of units that left at (seconds, units)."""
    worst = 0.0
    for start in range(len(left)):
        total = 0
        for when, units in left[start:]:
            total += units
            worst = max(worst, total - rate * (when - left[start][0]))
    return worst


steps = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 60)), min_size=1, max_size=40)
"""(seconds since the one before, units) of those who want to go."""
rates, bursts = st.floats(0.01, 1000), st.integers(1, 100)


@given(steps, rates, bursts)
def test_no_window_has_more_than_the_rate_and_the_burst(
    steps: list[tuple[float, int]], rate: float, burst: int
) -> None:
    next_at, now = 0.0, START
    left: list[tuple[float, int]] = []
    for pause, units in steps:
        now += pause
        found = slot(next_at, now, units, Pace(rate, burst))
        if not found.wait:
            next_at = found.next_at
            left.append((now - START, units))
    assert left[0][1] == steps[0][1]  # the first goes at once
    largest = max(burst, *(units for _, units in left))
    assert most_over(left, rate) <= largest + 1e-5 * rate


@given(steps, rates, bursts)
def test_who_waits_as_long_as_he_is_told_goes_then_and_no_earlier(
    steps: list[tuple[float, int]], rate: float, burst: int
) -> None:
    pace, next_at, now = Pace(rate, burst), 0.0, START
    for pause, units in steps:
        now += pause
        wait = slot(next_at, now, units, pace).wait
        if wait > 1e-3:
            assert slot(next_at, now + wait - 1e-3, units, pace).wait > 0
        now += wait + 1e-5
        found = slot(next_at, now, units, pace)
        assert found.wait == 0
        next_at = found.next_at


def test_a_burst_goes_at_once_and_then_the_rate_holds() -> None:
    pace, next_at, waits = Pace(10.0, 100), 0.0, []
    for _ in range(4):
        found = slot(next_at, START, 50, pace)
        waits.append(found.wait)
        next_at = found.next_at if not found.wait else next_at
    assert waits == pytest.approx([0, 0, 5, 5])


def test_a_batch_larger_than_the_burst_goes_after_a_pause_of_its_own_length() -> None:
    first = slot(0.0, START, 500, Pace(50.0, 10))
    assert (first.wait, first.next_at) == (0, START + 10)
    assert slot(first.next_at, START, 500, Pace(50.0, 10)).wait == pytest.approx(10)


def test_without_a_rate_nothing_waits() -> None:
    assert slot(START + 1000, START, 10**6, Pace(None)).wait == 0  # longer than any pause: the clock was set back
    assert slot(START, START, 10**6, Pace(None)).wait == 0


@pytest.mark.parametrize("set_back", [10.0, LONGEST_BACKOFF, LONGEST_BACKOFF + 30, 86400.0 * 365])
def test_a_clock_that_was_set_back_costs_minutes_at_most(set_back: float) -> None:
    pace = Pace(50.0, 500)
    full = slot(0.0, START, 500, pace).next_at
    assert slot(full, START - set_back, 500, pace).wait <= pace.seconds(LARGEST_BATCH) + LONGEST_BACKOFF


def test_a_clock_that_was_set_ahead_gives_one_burst_and_no_more() -> None:
    pace = Pace(50.0, 500)
    ahead = slot(slot(0.0, START, 500, pace).next_at, START + 3600, 500, pace)
    assert ahead.wait == 0
    assert slot(ahead.next_at, START + 3600, 500, pace).wait == pytest.approx(10)


def test_both_paces_are_asked_and_taken_or_neither(either: sa.Engine) -> None:
    own, gmail = Pace(10.0, 10), Pace(1.0, 5, "gmail.com")
    assert taken(either, 5, NOW, own, gmail)
    assert not taken(either, 5, NOW, own, gmail)  # gmail.com has to wait: nothing of the sender's own is taken
    assert taken(either, 5, NOW, own)
    with writing(either) as connection:
        assert take(connection, SENDER, [own, gmail], 5, NOW) == pytest.approx([0.5, 5.0])
        rows = connection.execute(sa.select(pacing).order_by(pacing.c.domain)).all()
    assert [tuple(row) for row in rows] == [(SENDER, "", START + 1), (SENDER, "gmail.com", START + 5)]


def test_another_sender_has_its_own_pace(either: sa.Engine) -> None:
    pace = Pace(1.0, 10)
    assert taken(either, 10, NOW, pace)
    with writing(either) as connection:
        assert take(connection, "twilio:+15005550006", [pace], 10, NOW) == [0]


def test_of_many_workers_at_one_moment_only_the_burst_goes(either: sa.Engine) -> None:
    pace = Pace(5.0, 100)
    with ThreadPoolExecutor(8) as pool:
        went = list(pool.map(lambda _: taken(either, 10, NOW, pace), range(60)))
    assert went.count(True) == 10
    with ThreadPoolExecutor(8) as pool:
        went = list(pool.map(lambda _: taken(either, 10, at(4), pace), range(60)))
    assert went.count(True) == 2


def test_workers_with_clocks_of_their_own_keep_the_rate_together(either: sa.Engine) -> None:
    """Each goes through the same 20 seconds at its own speed; together they get what one would."""
    pace = Pace(40.0, 80)

    def worker(_: int) -> int:
        return sum(8 * taken(either, 8, at(step / 5), pace) for step in range(100))

    with ThreadPoolExecutor(4) as pool:
        total = sum(pool.map(worker, range(4)))
    assert total <= 80 + 40 * 19.8
    assert total > 40 * 19.8 - 8


NUMBERS = count()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(st.tuples(st.integers(0, 3), st.floats(0, 20), st.integers(1, 40)), max_size=25),
    rate=st.floats(0.5, 50),
)
def test_interleaved_workers_never_exceed_the_rate(
    either: sa.Engine, calls: list[tuple[int, float, int]], rate: float
) -> None:
    """Some die after they took their share: that share is lost, and the others go no faster."""
    sender, seconds = f"sender {next(NUMBERS)}", 0.0
    left: list[tuple[float, int]] = []
    for worker, pause, units in calls:
        seconds += pause
        if taken(either, units, at(seconds), Pace(rate, 20), sender=sender) and worker:  # number 0 dies each time
            left.append((seconds, units))
    assert most_over(left, rate) <= max(20, *(units for _, units in left), 0) + 1e-3 * rate


def test_a_pause_that_the_provider_asks_for_holds_everybody(either: sa.Engine) -> None:
    pace = Pace(10.0, 100)
    assert taken(either, 10, NOW, pace)
    with writing(either) as connection:
        back_off(connection, SENDER, pace, 30.0, NOW)
    assert not taken(either, 10, at(30), pace)
    assert taken(either, 10, at(31), pace)  # then the rate, without a burst
    assert not taken(either, 10, at(31), pace)


def test_the_longer_pause_counts_and_none_is_longer_than_the_longest(either: sa.Engine) -> None:
    with writing(either) as connection:
        assert backing_off(connection, SENDER, NOW) == 0
        back_off(connection, SENDER, Pace(), 1e6, NOW)
        back_off(connection, SENDER, Pace(), 5.0, NOW)
    with reading(either) as connection:
        assert backing_off(connection, SENDER, NOW) == pytest.approx(LONGEST_BACKOFF)
        assert backing_off(connection, SENDER, at(LONGEST_BACKOFF)) == 0
