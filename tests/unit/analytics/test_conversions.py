"""Conversions: windows, values, touches, and credits that add up."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.analytics.conversions import (
    Counting,
    attribute,
    build_conversions,
    build_pre_period,
    build_touches,
    conversion_events,
    stale_runs,
    starts_of,
)
from campaign_pipeline.analytics.facts import build_message_facts
from campaign_pipeline.analytics.holdout import build_holdout_lift
from campaign_pipeline.analytics.metrics import build_campaign_days, build_campaign_metrics
from campaign_pipeline.analytics.models import macros
from campaign_pipeline.analytics.table_schemas import (
    ATTRIBUTION,
    CONVERSION_EVENTS,
    CONVERSIONS,
    HOLDOUT_LIFT,
    PRE_PERIOD,
    TOUCHES,
)
from campaign_pipeline.campaigns.conversion import Conversion
from campaign_pipeline.contacts.behaviour import SCHEMA
from campaign_pipeline.core.lake import Lake

RUN = "spring--20260302t090000z"
OTHER = "summer--20260303t090000z"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def bought(lake: Lake, *rows: tuple[str, timedelta, Any], event: str = "purchase") -> None:
    """`rows`: (contact, after START, amount) of purchases; the events are e0, e1 ... of the import."""
    frame = pl.DataFrame(
        [
            (f"{event}{number}", contact, event, START + after, json.dumps({"amount": amount}))
            for number, (contact, after, amount) in enumerate(rows)
        ],
        schema=SCHEMA,
        orient="row",
    )
    lake.write(frame, "behaviour", event)


def counting(run_id: str = RUN, **setting: Any) -> Counting:
    return Counting(run_id, Conversion.model_validate(setting))


@pytest.fixture
def starts(run: Any) -> pl.DataFrame:
    """c0 and c1 are planned, c2 held out, c3 suppressed."""
    run.freeze([("planned", "", "a"), ("planned", "", "b"), ("held_out", "", None), ("suppressed", "manual", None)])
    run.ledger(["accepted", "accepted"])
    return starts_of(run.lake, RUN, START - HOUR)


def test_who_could_be_sent_to_starts_when_the_message_is_due_and_a_holdout_with_the_run(starts: pl.DataFrame) -> None:
    assert starts.select("contact_id", "status", "started_at").rows() == [
        ("c0", "planned", START),
        ("c1", "planned", START),
        ("c2", "held_out", START - HOUR),
    ]


def test_a_window_begins_with_the_start_and_ends_before_its_end(lake: Lake, starts: pl.DataFrame) -> None:
    day, moment = timedelta(days=1), timedelta(microseconds=1)
    bought(
        lake,
        ("c0", timedelta(), 1),
        ("c0", day - moment, 2),
        ("c0", day, 4),
        ("c0", -moment, 8),
        ("c1", -day, 16),
        ("c1", -day - moment, 32),
        ("c2", day - HOUR, 64),
        ("c2", day - HOUR - moment, 128),
        ("c3", HOUR, 256),
        ("stranger", HOUR, 512),
    )
    bought(lake, ("c0", HOUR, 1024), event="visit")
    events = conversion_events(lake, counting(within="1d"), starts)
    assert dict(events.schema) == CONVERSION_EVENTS
    assert events.select("contact_id", "value").rows() == [("c0", 1.0), ("c0", 2.0), ("c2", 128.0)]
    before = build_pre_period(lake, counting(within="1d"), starts)
    assert dict(before.schema) == PRE_PERIOD
    assert before.drop("run_id").rows() == [("c0", 1, 8.0), ("c1", 1, 16.0), ("c2", 0, 0.0)]


@pytest.mark.parametrize(
    ("amount", "value"),
    [(12.5, 12.5), (0.1234567, 0.123457), (-3, -3.0), ("12.5", None), (None, None), (True, None), ([1], None)],
)
def test_a_value_that_is_no_number_is_not_known(lake: Lake, starts: pl.DataFrame, amount: Any, value: Any) -> None:
    bought(lake, ("c0", HOUR, amount))
    assert conversion_events(lake, counting(), starts)["value"].to_list() == [value]
    assert conversion_events(lake, counting(value=""), starts)["value"].to_list() == [None]


def test_what_touches_is_what_the_campaign_says(run: Any, starts: pl.DataFrame, new_event: Callable[..., Any]) -> None:
    run.events(
        [
            new_event("m0", "delivered", 1),
            new_event("m0", "opened", 2),
            new_event("m0", "opened", 3, machine=True),
            new_event("m0", "clicked", 4),
            new_event("m0", "clicked", 9),
            new_event("m1", "clicked", 4, machine=True),
            new_event("m1", "read", 5),
        ]
    )

    def touches(kind: str) -> list[tuple[Any, ...]]:
        found = build_touches(run.lake, RUN, starts, run.states, kind)
        assert dict(found.schema) == TOUCHES
        return [(contact, int((at - START).total_seconds() / 60)) for _, contact, _, _, at in found.rows()]

    assert touches("sent") == [("c0", 0), ("c1", 0)]
    assert touches("delivered") == [("c0", 1), ("c1", 5)]
    assert touches("opened") == [("c0", 2)]
    assert touches("clicked") == [("c0", 4), ("c0", 9)]


# ---- credit -------------------------------------------------------------------------------------------------------

Touch = tuple[str, str, int]  # run, message, minutes after START


def credits(lake: Lake, touches: Sequence[Touch], runs: Sequence[Counting], at: int = 100) -> dict[str, float]:
    """run -> credit for one conversion of contact c, `at` minutes after START; all runs started at START."""
    rows = [(run_id, "c", f"{run_id}{message}", START, START + timedelta(minutes=m)) for run_id, message, m in touches]
    path = lake.write(pl.DataFrame(rows, schema=TOUCHES, orient="row"), "touches", "all")
    event = {"event_id": "e", "contact_id": "c", "variant": "a", "status": "planned", "value": 1.0}
    events = pl.DataFrame([event | {"converted_at": START + timedelta(minutes=at)}], schema=CONVERSION_EVENTS)
    found = attribute(events, [str(path)], runs)
    assert dict(found.schema) == ATTRIBUTION
    return dict(found.select("run_id", "credit").rows())


TOUCHING = [("A", "m", 10), ("A", "m", 90), ("B", "m", 20), ("B", "n", 95), ("A", "x", 101)]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("last_touch", {"A": 0.0, "B": 1.0}),  # n at 95; what came after the conversion touched nothing
        ("first_touch", {"A": 1.0, "B": 0.0}),
        ("linear", {"A": 1 / 3, "B": 2 / 3}),  # three messages, however often one was clicked
    ],
)
def test_each_model_gives_the_credit_that_it_is_named_for(lake: Lake, model: str, expected: dict[str, float]) -> None:
    assert credits(lake, TOUCHING, [counting("A", model=model), counting("B", model=model)]) == expected


def test_the_run_that_touched_last_says_which_model_counts(lake: Lake) -> None:
    runs = [counting("A", model="last_touch"), counting("B", model="first_touch")]
    assert credits(lake, TOUCHING, runs) == {"A": 1.0, "B": 0.0}
    assert credits(lake, TOUCHING[:3], runs) == {"A": 1.0, "B": 0.0}  # A touched last, so its own model counts
    assert credits(lake, TOUCHING[1:3], [counting("A", model="first_touch"), runs[1]]) == {"A": 0.0, "B": 1.0}


def test_a_run_whose_window_is_over_gets_nothing(lake: Lake) -> None:
    runs = [counting("A", within="100m"), counting("B", within="101m")]
    assert credits(lake, TOUCHING, runs) == {"B": 1.0}


def test_without_a_touch_nobody_gets_credit(lake: Lake) -> None:
    assert credits(lake, [("A", "m", 101)], [counting("A")]) == {}


@given(
    touches=st.lists(
        st.tuples(st.sampled_from("ABC"), st.sampled_from("mn"), st.integers(0, 12)), max_size=12, unique=True
    ),
    models=st.tuples(*[st.sampled_from(["last_touch", "first_touch", "linear"])] * 3),
    windows=st.tuples(*[st.integers(1, 15)] * 3),
)
def test_credits_of_a_conversion_add_up_to_one_or_none(
    tmp_path_factory: pytest.TempPathFactory, touches: list[Touch], models: Any, windows: Any
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    runs = [
        counting(name, model=model, within=f"{minutes}m")
        for name, model, minutes in zip("ABC", models, windows, strict=True)
    ]
    found = credits(lake, touches, runs, at=10)
    open_runs = {each.run_id for each in runs if each.setting.within > timedelta(minutes=10)}
    touched = {run_id for run_id, _, minutes in touches if minutes <= 10} & open_runs
    assert found.keys() == touched
    assert sum(found.values()) == (pytest.approx(1) if touched else 0)
    assert credits(lake, touches[::-1], runs[::-1], at=10) == found


# ---- the tables of a run ------------------------------------------------------------------------------------------


def test_facts_metrics_days_and_lift_tell_the_same_conversions(
    run: Any, lake: Lake, starts: pl.DataFrame, new_event: Callable[..., Any]
) -> None:
    run.events([new_event("m0", "clicked", 10), new_event("m1", "clicked", 10)])
    day = timedelta(days=1)
    bought(lake, ("c0", HOUR, 10.1), ("c0", day, 20.2), ("c1", HOUR / 12, 5), ("c2", HOUR, 7))
    this = counting()
    touches = build_touches(lake, RUN, starts, run.states, "clicked")
    path = lake.write(touches, "touches", RUN)
    events = conversion_events(lake, this, starts)
    conversions = build_conversions(events, attribute(events, [str(path)], [this]), RUN, "spring", "email")
    assert dict(conversions.schema) == CONVERSIONS
    assert conversions.select("contact_id", "value", "credit").rows() == [
        ("c0", 10.1, 1.0),
        ("c0", 20.2, 1.0),
        ("c1", 5.0, 0.0),  # before the click
        ("c2", 7.0, 0.0),
    ]
    lake.write(conversions, "conversions", RUN)
    facts = build_message_facts(lake, RUN, run.states, channel="email", converts=True)
    told = ("contact_id", "converted_at", "conversions", "revenue", "attributed_conversions", "attributed_revenue")
    assert facts.select(told).rows() == [
        ("c0", START + HOUR, 2, 30.3, 2.0, pytest.approx(30.3)),
        ("c1", START + HOUR / 12, 1, 5.0, 0.0, 0.0),
        ("c2", START + HOUR, 1, 7.0, 0.0, 0.0),
        ("c3", None, None, None, None, None),  # could not be sent to: nobody asks
    ]
    metrics = build_campaign_metrics(facts)
    earned = ("variant", "converted", "conversions", "revenue", "attributed_conversions", "conversion_rate")
    assert metrics.select(earned).rows() == [("a", 1, 2, 30.3, 2.0, 1.0), ("b", 1, 1, 5.0, 0.0, 1.0)]
    days = build_campaign_days(facts, conversions)
    assert days.filter(variant="a").select("day", "converted", "conversions", "revenue", "clicked").rows() == [
        (START.date(), 1, 1, 10.1, 1),
        ((START + day).date(), 0, 1, 20.2, 0),
    ]
    lift = build_holdout_lift(facts)
    assert dict(lift.schema) == HOLDOUT_LIFT
    means = lift.select("metric", "planned", "held_out", "planned_mean", "held_out_mean", "total", "attributed")
    assert means.rows() == [
        ("converted", 2, 1, 1.0, 1.0, 2.0, None),
        ("conversions", 2, 1, 1.5, 1.0, 3.0, 2.0),
        ("revenue", 2, 1, 17.65, 7.0, 35.3, pytest.approx(30.3)),
    ]
    assert lift["error"].to_list() == ["zero_variance", "one_unit", "one_unit"]
    assert lift["lift"].to_list() == lift["p"].to_list() == [None] * 3


def test_the_lift_over_a_holdout_is_the_textbooks(run: Any) -> None:
    """60 of 200 against 20 of 100: pooled z-test and unpooled Wald interval, by hand."""
    run.freeze([("planned", "", "a")] * 200 + [("held_out", "", None)] * 100)
    run.ledger(["accepted"] * 200)
    buyers = [f"c{n}" for n in (*range(60), *range(200, 220))]
    facts = run.facts().with_columns(
        conversions=pl.col("contact_id").is_in(buyers).cast(pl.Int64), revenue=pl.lit(0.0), attributed_revenue=0.0
    )
    row = build_holdout_lift(facts).row(by_predicate=pl.col("metric") == "converted", named=True)
    assert row["lift"] == pytest.approx(0.1)
    error = (0.3 * 0.7 / 200 + 0.2 * 0.8 / 100) ** 0.5
    assert row["lift_low"] == pytest.approx(0.1 - 1.959964 * error, abs=1e-6)
    assert row["incremental"] == pytest.approx(20)
    assert row["incremental_high"] == pytest.approx(200 * (0.1 + 1.959964 * error), abs=1e-3)
    assert row["p"] == pytest.approx(0.06484, abs=1e-5)  # z = 0.1 / sqrt(0.2667 * 0.7333 * 0.015) = 1.8464


def test_a_campaign_that_counts_none_has_no_figure_of_them(run: Any) -> None:
    run.freeze([("planned", "", "a"), ("held_out", "", None)])
    run.ledger(["accepted"])
    facts = run.facts()
    assert facts["conversions"].null_count() == 2
    assert build_campaign_metrics(facts).select("converted", "revenue", "conversion_rate").rows() == [
        (None, None, None)
    ]
    assert build_campaign_days(facts).select("converted", "conversions", "revenue").rows() == [(None, None, None)]
    assert build_holdout_lift(facts).is_empty()


def test_other_runs_are_stale_when_their_credit_is_another(lake: Lake) -> None:
    def held(run_id: str, credit: float, touched: datetime | None) -> None:
        row = {"run_id": run_id, "event_id": "e", "credit": credit, "last_touch_at": touched}
        lake.write(pl.DataFrame([row], schema=CONVERSIONS), "conversions", run_id)

    due = pl.DataFrame([("e", RUN, START, 1.0), ("e", OTHER, START, 0.0)], schema=ATTRIBUTION, orient="row")
    assert stale_runs(lake, RUN, due) == []  # it has not counted yet, and will
    held(OTHER, 1.0, START)
    assert stale_runs(lake, RUN, due) == [OTHER]
    held(OTHER, 0.0, START)
    assert stale_runs(lake, RUN, due) == []
    held(OTHER, 0.0, None)
    assert stale_runs(lake, RUN, due) == [OTHER]


def test_score_intervals_are_wilsons() -> None:
    """Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29, method 3."""
    counts = pl.DataFrame({"k": [81, 15, 0, 1, 20, 0, 3], "n": [263, 148, 20, 29, 20, 0, 2]})
    with duckdb.connect(":memory:") as connection:
        connection.execute(macros())
        rows = connection.sql("SELECT wilson_low(k, n), wilson_high(k, n) FROM counts").fetchall()
    assert counts.height == len(rows)
    expected = [(0.2553, 0.3662), (0.0624, 0.1605), (0, 0.1611), (0.0061, 0.1718), (0.8389, 1)]
    assert rows[:5] == [(pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5)) for low, high in expected]
    assert rows[5:] == [(None, None), (None, None)]
