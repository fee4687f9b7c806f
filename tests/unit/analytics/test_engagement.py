"""What contacts do with messages: by day and hour, lately, and by cohort; and the days that a run reads."""

import os
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from campaign_pipeline.analytics import event_days
from campaign_pipeline.analytics.engagement import (
    build_cohort_retention,
    build_contact_activity,
    build_contact_engagement,
)
from campaign_pipeline.analytics.event_days import build_event_days, event_files
from campaign_pipeline.analytics.table_schemas import (
    COHORT_RETENTION,
    CONTACT_ACTIVITY,
    CONTACT_ENGAGEMENT,
    EVENT_DAYS,
)
from campaign_pipeline.core.lake import Lake

RUN = "spring--20260302t090000z"
OTHER = "summer--20260302t090000z"
DAY = "2026-03-02"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
_NONE = dict.fromkeys(("delivered", "opened", "clicked", "replied", "bounced", "unsubscribed", "complained"), 0)


def did(lake: Lake, day: str, *rows: dict[str, Any]) -> None:
    """contact_activity of `day`; each of `rows` names a contact and what it did."""
    common = {"day": date.fromisoformat(day), "run_id": RUN, "channel": "email", "hour": 9, **_NONE}
    lake.write(pl.DataFrame([common | row for row in rows], schema=CONTACT_ACTIVITY), "contact_activity", day)


def test_a_day_is_told_by_contact_and_hour_without_machines_and_strangers(run: Any, new_event: Any) -> None:
    run.freeze([("planned", "", "a")] * 2)
    run.events(
        [
            new_event("m0", "delivered", 1),
            new_event("m0", "read", 2),
            new_event("m0", "opened", 5),
            new_event("m0", "opened", 90),
            new_event("m0", "clicked", 91),
            new_event("m1", "opened", 5, machine=True),
            new_event("m1", "undelivered", 5),
            new_event("m1", "deferred", 4),
            new_event("m0", "clicked", 1, run_id=OTHER),
            new_event("x", "clicked", 1),
        ]
    )
    activity = build_contact_activity(run.lake, DAY)
    assert dict(activity.schema) == CONTACT_ACTIVITY
    assert activity.drop("day", "run_id", "channel").rows() == [
        ("c0", 9, 1, 1, 0, 0, 0, 0, 0),
        ("c0", 10, 0, 1, 1, 0, 0, 0, 0),
        ("c1", 9, 0, 0, 0, 0, 1, 0, 0),
    ]
    counted = build_event_days(run.lake, DAY)
    assert dict(counted.schema) == EVENT_DAYS
    assert counted.filter(type="opened", run_id=RUN).select("machine", "events").rows() == [(False, 2), (True, 1)]
    assert counted["events"].sum() == 10


def test_engagement_is_what_a_contact_did_lately(lake: Lake) -> None:
    did(lake, "2025-03-02", {"contact_id": "c0", "clicked": 9})  # 366 days before
    did(lake, "2025-03-04", {"contact_id": "c1", "delivered": 1})  # 364 days before: the first that counts
    did(lake, "2026-01-31", {"contact_id": "c0", "delivered": 1, "opened": 2, "clicked": 1})
    did(
        lake,
        "2026-03-01",
        {"contact_id": "c0", "opened": 1, "hour": 20},
        {"contact_id": "c0", "opened": 2, "hour": 21},
        {"contact_id": "c0", "channel": "sms", "replied": 1},
    )
    did(lake, "2026-03-03", {"contact_id": "c1", "unsubscribed": 1})
    engagement = build_contact_engagement(lake)
    assert dict(engagement.schema) == CONTACT_ENGAGEMENT
    first, second, third = engagement.rows(named=True)
    assert first["score"] == pytest.approx((2 + 3) * 0.5 ** (31 / 30) + 3 * 0.5 ** (2 / 30))
    assert {name: value for name, value in first.items() if name != "score"} == {
        **{"channel": "email", "contact_id": "c0", "as_of": date(2026, 3, 3)},
        **{"delivered": 1, "opened": 5, "clicked": 1, "replied": 0, "unsubscribed": False},
        **{"last_delivered_on": date(2026, 1, 31), "last_engaged_on": date(2026, 3, 1)},
        **{"recency": 2, "frequency": 2, "best_hour": 9},
    }
    assert (second["contact_id"], second["recency"], second["best_hour"], second["score"]) == ("c1", None, None, 0)
    assert (second["delivered"], second["unsubscribed"]) == (1, True)
    assert (third["channel"], third["replied"], third["score"]) == ("sms", 1, pytest.approx(5 * 0.5 ** (2 / 30)))


def test_cohorts_are_of_the_month_of_the_first_delivery(lake: Lake) -> None:
    assert build_cohort_retention(lake).is_empty()
    did(
        lake,
        "2026-01-31",
        {"contact_id": "c0", "delivered": 1, "opened": 1},
        {"contact_id": "c1", "delivered": 1},
        {"contact_id": "c2", "clicked": 1},  # nobody knows of a delivery
    )
    did(lake, "2026-02-01", {"contact_id": "c0", "delivered": 1}, {"contact_id": "c3", "delivered": 1, "replied": 1})
    did(lake, "2026-04-01", {"contact_id": "c0", "clicked": 1}, {"contact_id": "c1", "opened": 1})
    retention = build_cohort_retention(lake)
    assert dict(retention.schema) == COHORT_RETENTION
    january, february = date(2026, 1, 1), date(2026, 2, 1)
    assert retention.select("cohort", "months_since", "contacts", "engaged", "retention").rows() == [
        (january, 0, 2, 1, 0.5),
        (january, 1, 2, 0, 0.0),
        (january, 3, 2, 2, 1.0),
        (february, 0, 1, 1, 1.0),
        (february, 2, 1, 0, 0.0),
    ]


def test_a_run_reads_its_own_days_however_long_the_history_is(
    run: Any, new_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted are the files of events that are read, with 60 days of other runs around."""
    lake: Lake = run.lake
    run.freeze([("planned", "", "a")])
    run.ledger(["accepted"])
    for number in range(60):
        day = str(START.date() + timedelta(days=number - 10))
        mine = [new_event("m0", "opened", 1440 * number)] if number in (10, 12) else []
        run.events([new_event("m0", "opened", 1440 * number, run_id=OTHER), *mine], day)
        lake.write(build_event_days(lake, day), "event_days", day)
    assert [path.rsplit("/")[-1] for path in event_files(lake, RUN)] == ["2026-03-02.parquet", "2026-03-04.parquet"]
    assert event_files(lake, RUN, date(2026, 3, 3)) == [str(lake.path("delivery_events", "2026-03-04"))]

    with_index = run.facts()
    for day in lake.partitions("event_days"):
        lake.path("event_days", day).unlink()
    assert len(event_files(lake, RUN)) == 60
    assert run.facts().equals(with_index)


def test_a_day_that_was_written_after_its_index_is_read_whatever_that_says(run: Any, new_event: Any) -> None:
    lake: Lake = run.lake
    run.events([new_event("m0", "opened", 1, run_id=OTHER)])
    index = lake.write(build_event_days(lake, DAY), "event_days", DAY)
    assert event_files(lake, RUN) == []
    run.events([new_event("m0", "opened", 1)])
    written = lake.path("delivery_events", DAY).stat().st_mtime_ns
    os.utime(index, ns=(written - 1, written - 1))
    assert event_files(lake, RUN) == [str(lake.path(event_days.EVENTS, DAY))]


def test_of_a_day_only_the_messages_of_its_own_runs_are_read(
    run: Any, new_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake: Lake = run.lake
    run.freeze([("planned", "", "a")])
    run.events([new_event("m0", "clicked", 1)])
    lake.path("messages", OTHER).write_bytes(b"is not looked at")
    assert build_contact_activity(lake, DAY)["contact_id"].to_list() == ["c0"]
