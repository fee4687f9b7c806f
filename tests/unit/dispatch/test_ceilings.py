"""What a day has room for: exact, whoever counts, and nothing lost of it but what was sent."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import writing
from campaign_pipeline.dispatch.ceilings import Ceiling, count, day_of, fitting, give_back, next_day, room, used_on

SENDER = "sendgrid:news@example.com"
PLAN = (50, 100, 400)


@pytest.fixture(params=["db", "postgres_engine"])
def either(request: pytest.FixtureRequest) -> sa.Engine:
    """Each of the two databases."""
    return request.getfixturevalue(request.param)


def warming_up(day: int) -> int | None:
    return PLAN[day - 1] if day <= len(PLAN) else None


def counted(engine: sa.Engine, units: Sequence[int], day: str, *ceilings: Ceiling) -> int:
    with writing(engine) as connection:
        return count(connection, SENDER, ceilings, units, day)


def used(engine: sa.Engine, day: str, domain: str = "") -> int:
    with writing(engine) as connection:
        return used_on(connection, SENDER, day, domain)


def test_messages_fit_from_the_first_on() -> None:
    assert fitting([1, 1, 1], 2) == 2
    assert fitting([2, 3, 1], 4) == 1  # the third would fit, but it is not its turn
    assert fitting([2, 3, 1], None) == 3
    assert fitting([2], 0) == fitting([2], -5) == fitting([], 3) == 0


def test_a_plan_grows_with_each_day_of_sending_and_then_ends(either: sa.Engine) -> None:
    ceiling = Ceiling(warming_up)
    went = [counted(either, [1] * 500, f"2026-03-0{day}", ceiling) for day in (2, 3, 5, 6)]  # nothing on the 4th
    assert went == [50, 100, 400, 500]
    assert counted(either, [1] * 10, "2026-03-05", ceiling) == 0
    assert used(either, "2026-03-05") == 400


def test_days_before_the_start_do_not_count(either: sa.Engine) -> None:
    assert counted(either, [1] * 1000, "2026-03-01", Ceiling(None)) == 1000
    assert counted(either, [1] * 1000, "2026-03-02", Ceiling(warming_up, start="2026-03-02")) == 50


def test_parts_are_counted_and_not_messages(either: sa.Engine) -> None:
    assert counted(either, [3, 3, 3], "2026-03-02", Ceiling(lambda _day: 7)) == 2
    assert used(either, "2026-03-02") == 6


def test_the_lower_of_two_ceilings_holds_and_both_count_what_went(either: sa.Engine) -> None:
    own, gmail = Ceiling(lambda _day: 100), Ceiling(lambda _day: 30, "gmail.com")
    assert counted(either, [1] * 50, "2026-03-02", own, gmail) == 30
    assert (used(either, "2026-03-02"), used(either, "2026-03-02", "gmail.com")) == (30, 30)
    assert counted(either, [1] * 90, "2026-03-02", own) == 70
    with writing(either) as connection:
        assert room(connection, SENDER, own, "2026-03-02") == 0
        assert room(connection, SENDER, gmail, "2026-03-03") == 30
        assert room(connection, SENDER, Ceiling(None), "2026-03-02") is None


def test_many_workers_use_up_a_day_exactly(either: sa.Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        went = list(pool.map(lambda _: counted(either, [1] * 30, "2026-03-02", Ceiling(lambda _day: 400)), range(40)))
    assert sum(went) == used(either, "2026-03-02") == 400


def test_what_was_not_sent_is_given_back(either: sa.Engine) -> None:
    ceiling = Ceiling(lambda _day: 50)
    assert counted(either, [1] * 50, "2026-03-02", ceiling) == 50
    with writing(either) as connection:
        give_back(connection, SENDER, [ceiling], 20, "2026-03-02")
        give_back(connection, SENDER, [ceiling], 0, "2026-03-09")
    assert counted(either, [1] * 50, "2026-03-02", ceiling) == 20


def test_a_day_on_which_all_was_given_back_is_none_of_the_plan(either: sa.Engine) -> None:
    ceiling = Ceiling(warming_up)
    assert counted(either, [1] * 10, "2026-03-02", ceiling) == 10
    with writing(either) as connection:
        give_back(connection, SENDER, [ceiling], 10, "2026-03-02")
    assert counted(either, [1] * 500, "2026-03-03", ceiling) == 50


@pytest.mark.parametrize(
    ("now", "zone", "day", "tomorrow"),
    [
        (datetime(2026, 3, 2, 23, 30, tzinfo=UTC), "UTC", "2026-03-02", datetime(2026, 3, 3, tzinfo=UTC)),
        (datetime(2026, 3, 2, 23, 30, tzinfo=UTC), "Europe/Berlin", "2026-03-03", datetime(2026, 3, 3, 23, tzinfo=UTC)),
        # The day on which the clock is set ahead has 23 hours.
        (datetime(2026, 3, 29, 9, tzinfo=UTC), "Europe/Berlin", "2026-03-29", datetime(2026, 3, 29, 22, tzinfo=UTC)),
    ],
)
def test_a_day_begins_at_midnight_of_its_zone(now: datetime, zone: str, day: str, tomorrow: datetime) -> None:
    assert day_of(now, ZoneInfo(zone)) == day
    assert next_day(now, ZoneInfo(zone)) == tomorrow
