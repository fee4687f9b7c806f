"""Windows and dates are worked out in the segment's time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from campaign_pipeline.segments.moments import before, moment

BERLIN = ZoneInfo("Europe/Berlin")


def test_a_day_is_a_calendar_day_also_when_the_clock_changes() -> None:
    noon = datetime(2026, 3, 29, 12, tzinfo=BERLIN)  # the clock went forward at 2 in the morning
    assert before(noon, "1d", BERLIN) == datetime(2026, 3, 28, 11, tzinfo=UTC)
    assert before(noon, "24h", BERLIN) == datetime(2026, 3, 28, 10, tzinfo=UTC)
    assert before(noon, "1w", BERLIN) == datetime(2026, 3, 22, 11, tzinfo=UTC)


def test_180_days_before_the_first_of_july_1998_is_the_second_of_january() -> None:
    as_of = datetime(1998, 7, 1, tzinfo=UTC)
    assert before(as_of, "180d", ZoneInfo("UTC")) == datetime(1998, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02", datetime(2026, 3, 1, 23, tzinfo=UTC)),
        ("2026-03-02T09:00", datetime(2026, 3, 2, 8, tzinfo=UTC)),
        ("2026-03-02T09:00:00-05:00", datetime(2026, 3, 2, 14, tzinfo=UTC)),
        ("2026-03-02T09:00:00Z", datetime(2026, 3, 2, 9, tzinfo=UTC)),
    ],
)
def test_a_date_is_its_first_moment_in_the_zone_unless_it_has_its_own(text: str, expected: datetime) -> None:
    assert moment(text, BERLIN) == expected
