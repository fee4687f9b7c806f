"""How fast a run goes and when it ends, by made-up ledgers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.error_classes import ErrorClass
from campaign_pipeline.dispatch.rate import Throughput, estimated_end, throughput
from campaign_pipeline.dispatch.states import STATES, in_flight

BEGUN = datetime(2026, 3, 2, 9, tzinfo=UTC)
Message = tuple[str, float | None]  # state, and at which second it was recorded


def at(second: float) -> datetime:
    return BEGUN + timedelta(seconds=second)


def measured(messages: list[Message], now: float, claims: list[tuple[int, str, float]], **more: Any) -> Throughput:
    """Each message is a batch of its own; `claims`: batch, worker, second. `more`: due (seconds), and throughput's."""
    due = more.pop("due", [0.0] * len(messages))
    index = pl.DataFrame(
        {"message_no": range(len(messages)), "send_at": [at(second) for second in due]},
        schema={"message_no": pl.Int32, "send_at": ledger.UTC_TIME},
    )
    claimed = {batch for batch, *_ in claims}
    where = pl.DataFrame(
        [
            (number, number, int(number in claimed), state, "", "", None if second is None else at(second))
            for number, (state, second) in enumerate(messages)
        ],
        schema=STATES,
        orient="row",
    )
    held = pl.DataFrame(
        [(batch, 1, worker, at(second)) for batch, worker, second in claims], schema=ledger.CLAIMS, orient="row"
    )
    return throughput(index, in_flight(where, held, at(now)), held, at(now), **more)


def test_the_rate_of_the_last_minute_and_of_the_whole_run() -> None:
    messages: list[Message] = [("accepted", 20), ("accepted", 100), ("rejected", 130), ("in_doubt", 160)]
    messages += [("planned", None)] * 6
    found = measured(messages, 180, [(number, "w", 0) for number in range(4)])
    assert found.rate == pytest.approx(2 / 60)
    assert found.rate_overall == pytest.approx(4 / 160)
    assert (found.remaining, found.workers, found.next_wave_at) == (6, 0, None)
    assert found.estimated_end == at(180 + 6 / (2 / 60))


def test_a_run_that_began_less_than_a_minute_ago_is_measured_since_then() -> None:
    found = measured([("accepted", 5)] * 20 + [("not_sent", 5)] * 4, 10, [(number, "w", 0) for number in range(24)])
    assert (found.rate, found.rate_overall, found.remaining, found.estimated_end) == (2.0, 4.0, 4, at(12))


def test_no_time_is_no_rate_beyond_all_bounds() -> None:
    found = measured([("accepted", 0)] * 3, 0, [(number, "w", 0) for number in range(3)])
    assert (found.rate, found.rate_overall, found.remaining, found.estimated_end) == (3.0, 3.0, 0, None)


def test_before_the_first_claim_nothing_is_estimated() -> None:
    assert measured([("planned", None)] * 3, 10, []) == Throughput(3, 0.0, 0.0, 0, None, None, ())


def test_what_is_cancelled_at_once_is_no_rate() -> None:
    messages: list[Message] = [("accepted", 10), *[("cancelled", 20.0)] * 500]
    found = measured(messages, 20, [(number, "w", 0) for number in range(501)], goes_on=False)
    assert (found.rate, found.rate_overall) == (1 / 20, 1 / 10)
    assert found.errors == (ErrorClass("cancelled", "", "the run was cancelled", 500),)


def test_workers_are_those_with_claims_in_flight() -> None:
    messages: list[Message] = [("accepted", 30), ("in_doubt", None), ("in_doubt", None), ("in_doubt", None)]
    claims = [(0, "done", 0), (1, "ann", 380), (2, "bob", 390), (3, "dead", 10)]
    found = measured(messages, 400, claims)
    assert found.workers == 2
    assert found.errors == (ErrorClass("in_doubt", "", "nobody knows whether it arrived", 1),)


def test_while_a_long_batch_is_in_flight_the_rate_so_far_holds() -> None:
    messages: list[Message] = [("accepted", 10), ("in_doubt", None), ("planned", None)]
    busy = measured(messages, 200, [(0, "w", 0), (1, "w", 10)])
    assert (busy.rate, busy.rate_overall, busy.estimated_end) == (0.0, 0.1, at(210))
    dead = measured(messages, 400, [(0, "w", 0), (1, "w", 10)])
    assert (dead.workers, dead.estimated_end) == (0, None)


def test_what_waits_for_the_next_wave_has_no_estimated_end() -> None:
    messages: list[Message] = [("accepted", 10), ("planned", None)]
    waits = measured(messages, 20, [(0, "w", 0)], next_wave_at=at(3600))
    assert (waits.rate, waits.estimated_end, waits.next_wave_at) == (1 / 20, None, at(3600))
    come = measured(messages, 20, [(0, "w", 0)], next_wave_at=at(20))
    assert (come.estimated_end, come.next_wave_at) == (at(40), None)
    paused = measured(messages, 20, [(0, "w", 0)], next_wave_at=at(3600), goes_on=False)
    assert (paused.estimated_end, paused.next_wave_at) == (None, None)


def test_a_noted_wave_is_over_while_workers_are_at_it() -> None:
    messages: list[Message] = [("accepted", 10), ("in_doubt", None), ("planned", None)]
    found = measured(messages, 20, [(0, "w", 0), (1, "w", 15)], next_wave_at=at(3600))
    assert (found.workers, found.estimated_end, found.next_wave_at) == (1, at(40), None)


def test_a_run_does_not_end_before_its_last_message_is_due() -> None:
    messages: list[Message] = [("accepted", 10), ("planned", None), ("planned", None)]
    found = measured(messages, 20, [(0, "w", 0)], due=[0.0, 0.0, 7200.0])
    assert found.estimated_end == at(7200)


@pytest.mark.parametrize(
    ("remaining", "rate", "expected"),
    [(0, 5.0, None), (10, 0.0, None), (10, 5.0, at(2)), (1_000_000, 1e-9, None)],
)
def test_the_estimated_end(remaining: int, rate: float, expected: datetime | None) -> None:
    assert estimated_end(BEGUN, remaining, rate) == expected
