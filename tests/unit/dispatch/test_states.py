"""The state of a message, derived: every combination that a ledger can hold."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.states import SETTLING, STATES, in_flight, states

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
Row = tuple[int, str, str]


def state_of(claimed: int, rows: list[Row], at: datetime = NOW, of_batch: tuple[Row, ...] = ()) -> tuple[int, str]:
    """(attempt, state) of one message whose batch has attempts 1..claimed; rows are (attempt, source, outcome)."""
    whole = pl.DataFrame(
        [(0, attempt, source, outcome, "", "", NOW) for attempt, source, outcome in of_batch],
        schema=ledger.BATCH_OUTCOMES,
        orient="row",
    )
    messages = pl.DataFrame({"message_no": [0], "batch_no": [0]}, schema={"message_no": pl.Int32, "batch_no": pl.Int32})
    claims = pl.DataFrame([(0, n + 1, "w", NOW) for n in range(claimed)], schema=ledger.CLAIMS, orient="row")
    outcomes = pl.DataFrame(
        [(0, attempt, source, outcome, "", "", NOW) for attempt, source, outcome in rows],
        schema=ledger.OUTCOMES,
        orient="row",
    )
    found = states(messages, ledger.Ledger(claims, outcomes, whole))
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
        # An operator opens a doubt again: the row stands at every attempt since, so that the next one covers it.
        (2, [(1, "operator", "not_sent"), (2, "operator", "not_sent")], (2, "not_sent")),
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
    ],
)
def test_what_became_of_a_batch_holds_for_its_messages_that_have_no_outcome_of_their_own(
    claimed: int, rows: list[Row], of_batch: list[Row], expected: tuple[int, str]
) -> None:
    assert state_of(claimed, rows, at=LATER, of_batch=tuple(of_batch)) == expected


def test_a_fresh_claim_is_in_flight_until_it_has_settled() -> None:
    assert state_of(1, [], at=NOW) == (1, "in_flight")
    assert state_of(1, [], at=NOW + SETTLING - timedelta(seconds=1)) == (1, "in_flight")
    assert state_of(1, [], at=NOW + SETTLING) == (1, "in_doubt")
    assert state_of(1, [(1, "send", "in_doubt")], at=NOW) == (1, "in_doubt")
