"""Campaign metrics: exact figures of a small run, and the account that adds up."""

from datetime import date

import polars as pl
import pytest

from campaign_pipeline.analytics.metrics import (
    account,
    build_audience_summary,
    build_campaign_days,
    build_campaign_metrics,
)
from campaign_pipeline.analytics.schemas import AUDIENCE_SUMMARY, CAMPAIGN_DAYS, CAMPAIGN_METRICS
from campaign_pipeline.core.errors import Inconsistent

STATES = ("accepted", "accepted", "accepted", "rejected", "in_doubt", "unknown", "suppressed", "expired", "throttled")


@pytest.fixture
def facts(run, new_event):
    """Nine planned of variant a (states above), one of b that was not tried, four that get nothing."""
    run.freeze(
        [("planned", "", "a")] * 9
        + [("planned", "", "b"), ("held_out", "", None), ("held_out", "", None)]
        + [("suppressed", "unsubscribed", None), ("no_consent", "", None)]
    )
    run.ledger(STATES)
    run.events(
        [
            new_event("m0", "delivered", 1),
            new_event("m0", "opened", 2),
            new_event("m0", "opened", 3),
            new_event("m0", "clicked", 4),
            new_event("m1", "delivered", 1),
            new_event("m1", "opened", 1, machine=True),
            new_event("m2", "delivered", 1),
            new_event("m2", "undelivered", 60 * 24, reason="hard"),
        ]
    )
    return run.facts()


def test_counts_and_rates_by_variant_are_exact(facts):
    metrics = build_campaign_metrics(facts)
    assert dict(metrics.schema) == CAMPAIGN_METRICS
    a = metrics.row(by_predicate=pl.col("variant") == "a", named=True)
    expected = {
        "planned": 9, "sent": 6, "accepted": 3, "failed": 2, "rejected": 1, "expired": 1, "cancelled": 0,
        "suppressed_late": 1, "in_doubt": 2, "unknown": 1, "waiting": 1,
        "delivered": 2, "bounced": 1, "opened": 1, "machine_opened": 1, "clicked": 1, "opens": 2, "clicks": 1,
        "delivery_rate": 2 / 3, "bounce_rate": 1 / 3, "open_rate": 0.5, "click_rate": 0.5, "complaint_rate": 0.0,
    }  # fmt: skip
    assert {name: a[name] for name in expected} == expected


def test_a_rate_without_denominator_is_null_and_not_zero(facts):
    b = build_campaign_metrics(facts).row(by_predicate=pl.col("variant") == "b", named=True)
    assert (b["planned"], b["waiting"], b["accepted"], b["clicked"]) == (1, 1, 0, 0)
    assert b["delivery_rate"] is None
    assert b["click_rate"] is None


def test_days_count_first_events_on_the_day_on_which_they_happened(facts):
    days = build_campaign_days(facts)
    assert dict(days.schema) == CAMPAIGN_DAYS
    assert days.select("day", "accepted", "delivered", "bounced", "opened", "clicked", "machine_opened").rows() == [
        (date(2026, 3, 2), 3, 3, 0, 1, 1, 1),
        (date(2026, 3, 3), 0, 0, 1, 0, 0, 0),
    ]


def test_the_audience_summary_gives_each_reason(facts):
    summary = build_audience_summary(facts)
    assert dict(summary.schema) == AUDIENCE_SUMMARY
    assert summary.select("status", "reason", "contacts").rows() == [
        ("planned", "", 10),
        ("held_out", "", 2),
        ("no_consent", "", 1),
        ("suppressed", "unsubscribed", 1),
    ]


def test_the_account_adds_up_to_everyone_in_the_segment(facts):
    assert account(build_audience_summary(facts), build_campaign_metrics(facts)) == {
        "contacts": 14,
        "left_out": 2,
        "held_out": 2,
        "held_out_globally": 0,
        "reserved": 0,
        "planned": 10,
        "accepted": 3,
        "failed": 2,
        "suppressed_late": 1,
        "in_doubt": 2,
        "in_flight": 0,
        "waiting": 2,
    }


def test_a_state_that_nobody_counts_does_not_pass_in_silence(run):
    run.freeze([("planned", "", "a")])
    run.ledger(["teleported"])
    facts = run.facts()
    with pytest.raises(Inconsistent, match="planned 1 is not the sum"):
        account(build_audience_summary(facts), build_campaign_metrics(facts))


def test_a_run_in_which_nobody_was_planned_has_no_rows_and_still_adds_up(run):
    run.freeze([("no_address", "", None)])
    facts = run.facts()
    metrics = build_campaign_metrics(facts)
    assert metrics.height == 0
    assert build_campaign_days(facts).height == 0
    assert account(build_audience_summary(facts), metrics)["left_out"] == 1
