"""The judge catches what it is there for: planted violations, one at a time."""

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from tests.chaos.judge import Bounds, Evidence, Policy, judge

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
MESSAGES = 12


@pytest.fixture
def evidence() -> Evidence:
    """Twelve messages in batches of four: 0-7 accepted and sent; 8 in doubt, sent; 9 in doubt, not sent; 10 claimed by
    a worker that died, sent; 11 rejected."""
    numbers = pl.Series("message_no", range(MESSAGES), dtype=pl.Int32)
    left = [*range(9), 10]
    return Evidence(
        messages=pl.DataFrame([numbers, pl.Series("message_id", [f"id{number}" for number in numbers])]),
        states=pl.DataFrame(
            {
                "message_no": numbers,
                "batch_no": numbers // 4,
                "state": ["accepted"] * 8 + ["in_doubt"] * 3 + ["rejected"],
                "provider_id": [f"sid{number}" for number in range(8)] + [""] * 4,
                "recorded_at": [AT] * 10 + [None, AT],
            }
        ),
        sends=pl.DataFrame({"message_id": [f"id{n}" for n in left], "sid": [f"sid{n}" for n in left]}),
        repeats=pl.DataFrame(schema={"message_no": pl.Int32}),
    )


def with_sends(evidence: Evidence, *numbers: int, sid: str = "again") -> Evidence:
    more = pl.DataFrame({"message_id": [f"id{n}" for n in numbers], "sid": [f"{sid}{n}" for n in numbers]})
    return replace(evidence, sends=pl.concat([evidence.sends, more]))


def without_sends(evidence: Evidence, *numbers: int) -> Evidence:
    gone = pl.col("message_id").is_in([f"id{number}" for number in numbers])
    return replace(evidence, sends=evidence.sends.filter(~gone))


def with_state(evidence: Evidence, number: int, state: str) -> Evidence:
    changed = pl.when(pl.col("message_no") == number).then(pl.lit(state)).otherwise("state")
    return replace(evidence, states=evidence.states.with_columns(state=changed))


def given_up(evidence: Evidence, *numbers: int) -> Evidence:
    return replace(evidence, repeats=pl.DataFrame({"message_no": pl.Series(numbers, dtype=pl.Int32)}))


def test_a_run_that_kept_the_promise_has_no_problem_and_every_doubt_is_counted(evidence: Evidence) -> None:
    found = judge(evidence, bounds=Bounds(silent=1, unanswered=2))
    assert found.problems == ()
    assert (found.messages, found.left, found.sent_twice, found.lost, found.repeated) == (12, 10, 0, 0, 0)
    assert (found.in_doubt, found.silent, found.silent_batches, found.unanswered) == (3, 1, 1, 2)
    assert found.doubts_that_left == 2


def test_a_message_that_left_twice_is_caught(evidence: Evidence) -> None:
    found = judge(with_sends(evidence, 3))
    assert (found.problems, found.sent_twice) == (("1 messages left twice",), 1)


def test_a_message_in_doubt_that_left_twice_is_caught(evidence: Evidence) -> None:
    assert judge(with_sends(evidence, 8, 10)).problems == ("2 messages left twice",)


def test_a_false_accept_is_a_lost_message(evidence: Evidence) -> None:
    found = judge(without_sends(evidence, 5))
    assert (found.problems, found.lost) == (("1 messages are accepted but never left",), 1)


@pytest.mark.parametrize("state", ["planned", "not_sent", "throttled"])
def test_a_message_that_nobody_sent_is_lost(evidence: Evidence, state: str) -> None:
    found = judge(with_state(evidence, 9, state))
    assert (found.problems, found.lost) == (("1 messages are still open",), 1)


def test_a_message_that_left_and_would_be_sent_again_is_caught(evidence: Evidence) -> None:
    found = judge(with_state(evidence, 8, "not_sent"))
    assert (found.problems, found.lost) == (("1 messages are still open",), 0)


def test_a_message_that_the_ledger_forgot_is_lost(evidence: Evidence) -> None:
    found = judge(replace(evidence, states=evidence.states.filter(pl.col("message_no") != 9)))
    assert (found.problems, found.lost) == (("1 messages are not in the ledger",), 1)


@pytest.mark.parametrize("state", ["rejected", "suppressed", "expired", "cancelled", "not_needed"])
def test_a_message_that_left_though_the_ledger_ended_it_otherwise_is_caught(evidence: Evidence, state: str) -> None:
    found = judge(with_state(evidence, 8, state))
    assert (found.problems, found.lost) == (("1 messages left, but the ledger says otherwise",), 0)


def test_a_message_of_nobody_is_caught(evidence: Evidence) -> None:
    assert judge(with_sends(evidence, 77)).problems == ("1 sends are of no message that was planned",)


def test_a_message_that_is_accepted_under_the_id_of_another_is_caught(evidence: Evidence) -> None:
    swapped = replace(
        evidence, states=evidence.states.with_columns(provider_id=pl.col("provider_id").str.replace("sid2", "sid3"))
    )
    problem = "1 messages are accepted with an id that the provider gave to none of their sends"
    assert judge(swapped).problems == (problem,)


def test_doubt_that_no_accident_explains_is_caught(evidence: Evidence) -> None:
    found = judge(evidence, bounds=Bounds(silent=0, unanswered=1))
    assert found.problems == (
        "1 messages are in doubt, claimed by workers that died, though accidents explain only 0",
        "2 messages are in doubt, sent without an answer, though accidents explain only 1",
    )


def test_a_repeat_needs_the_policy(evidence: Evidence) -> None:
    repeated = given_up(with_state(with_sends(evidence, 8), 8, "in_doubt"), 8)
    found = judge(repeated)
    assert found.problems == ("1 messages were sent once more, which the policy forbids",)
    assert found.sent_twice == 0


@pytest.fixture
def repeated(evidence: Evidence) -> Evidence:
    """Under never_lose: all doubts were sent once more, and accepted."""
    accepted = evidence
    for number in (8, 9, 10):
        accepted = with_state(accepted, number, "accepted")
    ids = (
        pl.when(pl.col("message_no").is_in([8, 9, 10]))
        .then(pl.format("again{}", "message_no"))
        .otherwise("provider_id")
    )
    accepted = replace(accepted, states=accepted.states.with_columns(provider_id=ids))
    return given_up(with_sends(accepted, 8, 9, 10), 8, 9, 10)


def test_repeats_that_are_labelled_keep_the_promise_of_never_lose(repeated: Evidence) -> None:
    found = judge(repeated, "never_lose")
    assert found.problems == ()
    assert (found.lost, found.sent_twice, found.given_up, found.repeated) == (0, 0, 3, 2)


def test_a_repeat_without_a_label_is_caught(repeated: Evidence) -> None:
    found = judge(replace(repeated, repeats=repeated.repeats.filter(pl.col("message_no") != 10)), "never_lose")
    assert found.problems == ("1 messages left twice",)


def test_a_third_send_needs_a_second_label(repeated: Evidence) -> None:
    assert judge(with_sends(repeated, 8), "never_lose").problems == ("1 messages left twice",)
    assert judge(given_up(with_sends(repeated, 8), 8, 8, 9, 10), "never_lose").problems == ()


def test_a_doubt_that_never_lose_left_alone_is_lost(evidence: Evidence) -> None:
    found = judge(evidence, "never_lose")
    assert found.problems == ("1 messages are in doubt, never left, and were not sent once more",)
    assert found.lost == 1


def test_policies_are_those_of_campaigns() -> None:
    from campaign_pipeline.campaigns.definition import Campaign

    annotation = Campaign.model_fields["on_doubt"].annotation
    assert annotation == Policy
