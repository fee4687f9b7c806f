"""Message facts: one row per contact, events folded by rank and never by order."""

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from campaign_pipeline.analytics.schemas import DELIVERY_EVENTS, MESSAGE_FACTS, MESSAGES, STATES
from campaign_pipeline.core.errors import Inconsistent, NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.dispatch.states import STATES as LEDGER_STATES
from campaign_pipeline.events.days import DELIVERY as EVENTS_SCHEMA
from campaign_pipeline.messages.render import MESSAGES_SCHEMA

PLANNED = ("planned", "", "a")
START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_every_contact_of_the_audience_has_one_row_with_exactly_the_documented_columns(run):
    run.freeze([PLANNED, ("held_out", "", None), ("suppressed", "unsubscribed", None)])
    run.ledger(["accepted"])
    facts = run.facts()
    assert dict(facts.schema) == MESSAGE_FACTS
    assert facts.select("contact_id", "status", "reason", "outcome", "accepted", "message_id").rows() == [
        ("c0", "planned", "", "accepted", True, "m0"),
        ("c1", "held_out", "", None, False, None),
        ("c2", "suppressed", "unsubscribed", None, False, None),
    ]
    assert facts["campaign"].unique().to_list() == ["spring"]


def test_before_anything_was_rendered_or_sent_all_are_planned(run):
    run.freeze([PLANNED])
    run.lake.path("messages", "spring--20260302t090000z").unlink()
    assert run.fact("c0")["outcome"] == "planned"
    assert run.fact("c0")["delivery"] is None


def test_a_bounce_that_comes_after_a_delivery_overrides_it_and_both_times_are_kept(run, new_event):
    run.freeze([PLANNED])
    run.ledger(["accepted"])
    run.events([new_event("m0", "undelivered", 90, reason="soft:4.2.2"), new_event("m0", "delivered", 1)])
    fact = run.fact("c0")
    assert fact["delivery"] == "undelivered"
    assert fact["bounce_class"] == "soft"
    assert fact["delivered_at"] == START + timedelta(minutes=1)
    assert fact["bounced_at"] == START + timedelta(minutes=90)


def test_machines_are_counted_apart_from_people(run, new_event):
    run.freeze([PLANNED])
    run.ledger(["accepted"])
    run.events(
        [
            new_event("m0", "opened", 1, machine=True),
            new_event("m0", "opened", 7),
            new_event("m0", "opened", 9),
            new_event("m0", "clicked", 2, machine=True),
        ]
    )
    fact = run.fact("c0")
    assert (fact["opens"], fact["machine_opens"], fact["clicks"], fact["machine_clicks"]) == (2, 1, 0, 1)
    assert fact["opened_at"] == START + timedelta(minutes=7)
    assert fact["machine_opened_at"] == START + timedelta(minutes=1)
    assert fact["clicked_at"] is None


def test_a_read_receipt_implies_delivery(run, new_event):
    run.freeze([PLANNED])
    run.ledger(["accepted"])
    run.events([new_event("m0", "read", 3)])
    assert run.fact("c0")["delivered_at"] == START + timedelta(minutes=3)
    assert run.fact("c0")["delivery"] == "read"


def test_events_of_other_runs_and_of_unknown_types_change_nothing(run, new_event):
    run.freeze([PLANNED])
    run.ledger(["accepted"])
    before = run.facts()
    run.events([new_event("m0", "clicked", 1, run_id="other--20260302t090000z"), new_event("m0", "unknown", 1)])
    assert run.facts().equals(before)


def test_the_time_zone_of_results_is_utc(run, new_event, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    run.freeze([PLANNED])
    run.ledger(["accepted"])
    run.events([new_event("m0", "delivered", 0)])
    assert run.fact("c0")["delivered_at"] == START


def test_a_run_without_audience_is_not_found(run):
    with pytest.raises(NotFound, match="audience"):
        run.facts()


def test_a_ledger_that_knows_more_than_was_planned_is_inconsistent(run):
    run.freeze([PLANNED])
    run.ledger(["accepted", "accepted"])
    with pytest.raises(Inconsistent, match="1 message"):
        run.facts()


def test_two_states_of_one_message_are_inconsistent(run):
    run.freeze([PLANNED])
    row = (0, "accepted", "", START)
    run.states = pl.DataFrame([row, row], schema=STATES, orient="row")
    with pytest.raises(Inconsistent, match="more than one state"):
        run.facts()


KINDS = ("queued", "deferred", "delivered", "read", "undelivered", "failed", "opened", "clicked", "replied", "unknown")


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    happened=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(KINDS), st.integers(0, 5), st.booleans(), st.sampled_from("xyz")),
        max_size=30,
        unique=True,
    ),
    seed=st.integers(0, 2**16),
)
def test_any_order_and_any_split_into_days_gives_the_same_facts(run, new_event, happened, seed):
    lake: Lake = run.lake
    for day in lake.partitions("delivery_events"):
        lake.path("delivery_events", day).unlink()
    run.freeze([PLANNED] * 3)
    run.ledger(["accepted"] * 3)
    events = [new_event(f"m{m}", kind, at, machine=machine, reason=why) for m, kind, at, machine, why in happened]
    run.events(events)
    before = run.facts()
    random.Random(seed).shuffle(events)
    run.events(events[: len(events) // 2], "2026-03-03")
    run.events(events[len(events) // 2 :])
    assert run.facts().equals(before)


def test_the_columns_that_are_read_are_those_that_other_stages_write():
    assert dict(DELIVERY_EVENTS) == EVENTS_SCHEMA
    assert MESSAGES.items() <= MESSAGES_SCHEMA.items()
    assert STATES.items() <= LEDGER_STATES.items()
