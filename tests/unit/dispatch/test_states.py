"""The state of a message, derived: every combination that a ledger can hold."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.states import SETTLING, STATES, in_flight, states

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
CODES = {("policy", "not_sent"): ledger.NEVER_LOSE}
Row = tuple[int, str, str]


def state_of(
    claimed: int,
    rows: list[Row],
    at: datetime = NOW,
    of_batch: tuple[Row, ...] = (),
    for_it: tuple[int, ...] = (),
    for_others: tuple[int, ...] = (),
) -> tuple[int, str]:
    """(attempt, state) of one message whose batch has attempts 1..claimed; rows are (attempt, source, outcome).

    Attempts of `for_it` and `for_others` name whom they cover; the others are as claims of the whole batch.
    """
    whole = pl.DataFrame(
        [(0, attempt, source, outcome, "", "", NOW) for attempt, source, outcome in of_batch],
        schema=ledger.BATCH_OUTCOMES,
        orient="row",
    )
    messages = pl.DataFrame({"message_no": [0], "batch_no": [0]}, schema={"message_no": pl.Int32, "batch_no": pl.Int32})
    claims = pl.DataFrame([(0, n + 1, "w", NOW) for n in range(claimed)], schema=ledger.CLAIMS, orient="row")
    outcomes = pl.DataFrame(
        [(0, attempt, source, outcome, CODES.get((source, outcome), ""), "", NOW) for attempt, source, outcome in rows],
        schema=ledger.OUTCOMES,
        orient="row",
    )
    covered = [*((0, attempt, 0) for attempt in for_it), *((0, attempt, 1) for attempt in for_others)]
    named = pl.DataFrame(covered, schema=ledger.COVERED, orient="row")
    found = states(messages, ledger.Ledger(claims, outcomes, whole, named))
    assert found.schema == pl.Schema(STATES)
    assert found.height == 1
    return in_flight(found, claims, at).select("attempt", "state").row(0)


LATER = NOW + SETTLING


@pytest.mark.parametrize(
    ("claimed", "rows", "expected"),
    [
        (0, [], (0, "planned")),
        (1, [], (1, "in_doubt")),
        (1, [(1, "send", "accepted")], (1, "accepted")),
        (1, [(1, "send", "not_sent")], (1, "not_sent")),
        (2, [(1, "send", "not_sent")], (2, "in_doubt")),
        (2, [(1, "send", "throttled"), (2, "send", "accepted")], (2, "accepted")),
        # The second attempt of the batch was for others.
        (2, [(1, "send", "accepted")], (1, "accepted")),
        (2, [], (1, "in_doubt")),
        (3, [(1, "send", "not_sent"), (2, "send", "rejected")], (2, "rejected")),
        # The strongest source of an attempt counts, whatever came first.
        (1, [(1, "event", "accepted"), (1, "send", "in_doubt")], (1, "accepted")),
        (1, [(1, "send", "in_doubt"), (1, "policy", "unknown"), (1, "event", "accepted")], (1, "accepted")),
        (1, [(1, "lookup", "accepted"), (1, "operator", "not_sent")], (1, "accepted")),
        # Proof for an attempt that seemed not sent ends the message there.
        (2, [(1, "send", "not_sent"), (1, "event", "accepted"), (2, "send", "accepted")], (1, "accepted")),
        # The provider's own answer counts more than what was thought while it was missing; knowing nothing does not.
        (1, [(1, "send", "accepted"), (1, "policy", "not_sent")], (1, "accepted")),
        (1, [(1, "send", "rejected"), (1, "operator", "accepted")], (1, "rejected")),
        (1, [(1, "send", "in_doubt"), (1, "policy", "not_sent")], (1, "not_sent")),
        (1, [(1, "policy", "not_sent"), (1, "operator", "rejected")], (1, "rejected")),
        (1, [(1, "policy", "unknown"), (1, "operator", "not_sent")], (1, "not_sent")),
        (1, [(1, "policy", "unknown"), (1, "send", "throttled")], (1, "throttled")),
        (1, [(1, "policy", "suppressed")], (1, "suppressed")),
    ],
)
def test_the_state_follows_from_claims_and_outcomes(claimed: int, rows: list[Row], expected: tuple[int, str]) -> None:
    assert state_of(claimed, rows, at=LATER) == expected


@pytest.mark.parametrize(
    ("claimed", "rows", "of_batch", "expected"),
    [
        (1, [], [(1, "send", "accepted")], (1, "accepted")),
        (1, [(1, "send", "rejected")], [(1, "send", "accepted")], (1, "rejected")),
        (1, [(1, "policy", "suppressed")], [(1, "send", "accepted")], (1, "suppressed")),
        (1, [(1, "event", "accepted")], [(1, "send", "in_doubt")], (1, "accepted")),
        (1, [(1, "send", "in_doubt")], [(1, "policy", "unknown")], (1, "unknown")),
        (2, [], [(1, "send", "throttled"), (2, "send", "accepted")], (2, "accepted")),
        (2, [], [(1, "send", "throttled")], (2, "in_doubt")),
        # It was refused, and is none of those that the second attempt of its batch was for.
        (2, [(1, "send", "rejected")], [(1, "send", "throttled"), (2, "send", "accepted")], (1, "rejected")),
        (2, [(1, "event", "accepted")], [(1, "send", "throttled"), (2, "send", "accepted")], (1, "accepted")),
        # What was thought of it is not outdone by what its batch answered, of which its own answer was another.
        (1, [(1, "send", "in_doubt"), (1, "policy", "not_sent")], [(1, "send", "accepted")], (1, "not_sent")),
        (1, [(1, "send", "in_doubt"), (1, "operator", "rejected")], [(1, "send", "accepted")], (1, "rejected")),
        # Without an answer of its own, the late answer to its batch is its own.
        (1, [(1, "policy", "not_sent")], [(1, "send", "accepted")], (1, "accepted")),
    ],
)
def test_what_became_of_a_batch_holds_for_its_messages_that_have_no_outcome_of_their_own(
    claimed: int, rows: list[Row], of_batch: list[Row], expected: tuple[int, str]
) -> None:
    assert state_of(claimed, rows, at=LATER, of_batch=tuple(of_batch)) == expected


@pytest.mark.parametrize(
    ("rows", "for_it", "for_others", "expected"),
    [
        ([(1, "policy", "not_sent")], (), (2,), (1, "not_sent")),
        ([(1, "operator", "not_sent")], (3,), (2,), (3, "in_doubt")),
        ([(1, "policy", "not_sent"), (3, "send", "accepted")], (3,), (2,), (3, "accepted")),
        ([(1, "event", "accepted")], (2,), (), (1, "accepted")),
        # Of a message that was sent once more, the first attempt may have arrived, whatever became of the repeat.
        ([(1, "policy", "not_sent"), (2, "policy", "suppressed")], (2,), (), (1, "unknown")),
        ([(1, "policy", "not_sent"), (2, "send", "rejected")], (2,), (3,), (1, "unknown")),
        ([(1, "policy", "not_sent"), (2, "policy", "unknown")], (2,), (), (2, "unknown")),
        ([(1, "policy", "not_sent"), (2, "send", "throttled")], (2,), (), (2, "throttled")),
        ([(1, "operator", "not_sent"), (2, "policy", "suppressed")], (2,), (), (2, "suppressed")),
        ([(1, "event", "accepted"), (2, "send", "rejected")], (2,), (), (1, "accepted")),
        ([], (), (1,), (0, "planned")),
    ],
)
def test_a_claim_that_names_whom_it_covers_is_no_attempt_for_others(
    rows: list[Row], for_it: tuple[int, ...], for_others: tuple[int, ...], expected: tuple[int, str]
) -> None:
    claimed = max((1, *for_it, *for_others))
    assert state_of(claimed, rows, at=LATER, for_it=for_it, for_others=for_others) == expected


def test_a_fresh_claim_is_in_flight_until_it_has_settled() -> None:
    assert state_of(1, [], at=NOW) == (1, "in_flight")
    assert state_of(1, [], at=NOW + SETTLING - timedelta(seconds=1)) == (1, "in_flight")
    assert state_of(1, [], at=NOW + SETTLING) == (1, "in_doubt")
    assert state_of(1, [(1, "send", "in_doubt")], at=NOW) == (1, "in_doubt")
