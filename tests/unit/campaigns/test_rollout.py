"""Roll-outs: who is in which part, what their definition must say, and what a part's run is."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from campaign_pipeline.campaigns.arms import assign
from campaign_pipeline.campaigns.rollout import Part, Rollout, Thompson, Winner, within
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core import ids as names_of
from tests.unit.campaigns.conftest import AS_OF

IDS = pl.Series("contact_id", sorted(names_of.contact_id(f"person{n}") for n in range(5_000)))
TWO = [{"name": "a", "weight": 1, "template": "t"}, {"name": "b", "weight": 1, "template": "t"}]

MakeRun = Callable[..., Run]


@given(
    st.floats(0.01, 0.99).map(lambda share: Winner(method="winner", test_share=share))
    | st.integers(2, 50).map(lambda batches: Thompson(method="thompson", batches=batches))
)
def test_everybody_is_in_exactly_one_part(rollout: Winner | Thompson) -> None:
    shares = rollout.shares()
    assert (shares[0][0], shares[-1][1]) == (0.0, 1.0)
    found = sum(within("sale--20260302t090000z", share, IDS).cast(pl.Int32) for share in shares)
    assert isinstance(found, pl.Series)
    assert found.unique().to_list() == [1]


def test_another_run_tests_on_others() -> None:
    one, two = (within(f"sale--2026030{day}t090000z", (0.0, 0.2), IDS) for day in (1, 2))
    assert 900 < one.sum() < 1100
    assert 150 < (one & two).sum() < 250  # independent: a fifth of a fifth


def test_the_first_run_sends_to_the_test_and_reserves_the_others(make_run: MakeRun) -> None:
    run = make_run(variants=TWO, holdout=10, rollout={"method": "winner", "test_share": 0.2})
    found = assign(run, IDS).with_columns(IDS)
    planned, reserved = (found.filter(pl.col("status") == status) for status in ("planned", "reserved"))
    assert planned.height + reserved.height + found.filter(pl.col("status") == "held_out").height == len(IDS)
    assert set(planned["contact_id"]) <= set(IDS.filter(within(run.run_id, (0.0, 0.2), IDS)))
    assert 0.16 < planned.height / len(IDS) < 0.20  # of those that are not held out
    assert reserved["variant"].null_count() == reserved.height
    assert 0.45 < (planned["variant"] == "a").mean() < 0.55


def test_a_part_goes_by_its_own_weights_and_to_nobody_who_is_held_out(make_run: MakeRun) -> None:
    first = make_run(variants=TWO, holdout=10, rollout={"method": "winner"})
    held = set(IDS.filter(assign(first, IDS)["status"] == "held_out"))
    part = Part(first.run_id, 1, (0.2, 1.0), {"a": 0.0, "b": 1.0}, "b won", "rollout", AS_OF)
    later = Run(**(vars(make_run(variants=TWO, holdout=10, rollout={"method": "winner"})) | {"part": part}))
    found = assign(later, IDS).with_columns(IDS)
    assert later.weights == {"b": 1.0}
    assert set(found.filter(pl.col("status") == "held_out")["contact_id"]) == held
    assert found.filter(pl.col("status") == "planned")["variant"].unique().to_list() == ["b"]


def test_a_part_is_in_the_test_though_the_experiment_is_over(make_run: MakeRun) -> None:
    design = {"name": "subject", "until": "2026-01-01"}
    first = make_run(variants=TWO, rollout={"method": "winner"}, experiment=design)
    assert assign(first, IDS)["variant"].unique().to_list() == ["not_in_test"]
    part = Part(first.run_id, 1, (0.2, 1.0), {"b": 1.0}, "b won", "rollout", AS_OF)
    assert assign(Run(**(vars(first) | {"part": part})), IDS)["variant"].unique().to_list() == ["b"]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"method": "best"}, "winner or thompson"),
        ({}, "winner or thompson"),
        ({"method": "winner", "test_share": 1.0}, "less than 1"),
        ({"method": "winner", "decide_after": "3d", "timeout": "2d"}, "must not be before decide_after"),
        ({"method": "winner", "batches": 3}, "batches"),
        ({"method": "thompson", "batches": 1}, "greater than or equal to 2"),
        ({"method": "thompson", "floor": 0}, "greater than 0"),  # a batch without the control compares nothing
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        TypeAdapter(Rollout).validate_python(fields)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"variants": TWO[:1]}, "at least two variants"),
        ({"variants": TWO, "goal": "opened"}, "machines open"),
        ({"variants": TWO, "send_before": "48h"}, "may end 48 h after the run's time, and send_before is 48 h"),
        ({"variants": TWO, "send_before": "49h"}, None),
        ({"variants": TWO, "send_before": "18h", "rollout": {"method": "thompson"}}, "may end 18 h"),
        ({"variants": TWO, "send_before": "19h", "rollout": {"method": "thompson"}}, None),
        ({"variants": TWO, "rollout": {"method": "thompson", "floor": 0.5, "batches": 2}}, None),
        (
            {
                "variants": [*TWO, {"name": "c", "weight": 1, "template": "t"}],
                "rollout": {"method": "thompson", "floor": 0.4, "batches": 2},
            },
            "more than all",
        ),
    ],
)
def test_a_campaign_has_something_to_choose_from(make_run: MakeRun, changes: dict[str, Any], match: str | None) -> None:
    fields = {"rollout": {"method": "winner"}} | changes
    if match is None:
        assert make_run(**fields).campaign.rollout is not None
        return
    with pytest.raises(ValidationError, match=match):
        make_run(**fields)


def test_the_defaults_are_those_of_the_documentation() -> None:
    winner = Winner(method="winner")
    assert (winner.test_share, winner.decide_after, winner.timeout) == (0.2, timedelta(hours=24), timedelta(hours=48))
    assert Thompson(method="thompson").shares()[1] == (0.1, 0.2)
