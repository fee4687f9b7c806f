"""The judge: what the provider physically received, against what the ledger says of the same run.

Pure: frames in, a judgement out. Under `never_duplicate` no message leaves twice; a message that never left is not
called accepted, and none is left open. Under `never_lose` a message may leave once more for each attempt that the
ledger gave up on purpose, and no doubt is left without such a repeat.
"""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.states import OPEN

Policy = Literal["never_duplicate", "never_lose"]
DOUBTFUL = (Outcome.IN_DOUBT.value, Outcome.UNKNOWN.value)


@dataclass(frozen=True)
class Evidence:
    """All that is known of one run once its workers have nothing left to do.

    messages: message_no, message_id; a row a planned message.
    states: message_no, batch_no, state, provider_id, recorded_at (null: claimed, and nothing recorded).
    sends: message_id, sid; a row a physical send, as the provider itself wrote it down.
    repeats: message_no; a row an attempt that the ledger says was given up so that the message is sent once more.
    """

    messages: pl.DataFrame
    states: pl.DataFrame
    sends: pl.DataFrame
    repeats: pl.DataFrame


@dataclass(frozen=True)
class Bounds:
    """How much doubt the accidents of a run explain, in messages."""

    silent: int  # claimed by a worker that died: kills x requests under way x messages in one
    unanswered: int  # sent without a readable answer: faults x messages in a request


@dataclass(frozen=True)
class Judgement:
    messages: int
    left: int  # messages that physically left, once or more
    sent_twice: int  # messages that left more often than the ledger says on purpose
    lost: int  # messages that neither left nor stand in the ledger as such
    given_up: int  # messages of which the ledger says that they are sent once more on purpose
    repeated: int  # ... and of these, those that left both times
    silent: int  # in doubt, because the worker that claimed them died
    silent_batches: int  # ... in so many requests
    unanswered: int  # in doubt, because no readable answer came
    doubts_that_left: int  # of all in doubt, the ones that the provider did receive
    problems: tuple[str, ...]

    @property
    def in_doubt(self) -> int:
        return self.silent + self.unanswered


def judge(evidence: Evidence, policy: Policy = "never_duplicate", bounds: Bounds | None = None) -> Judgement:
    """The judgement; its `problems` are empty if the promise was kept."""
    of_message = _by_message(evidence)
    state, sends, repeats = pl.col("state"), pl.col("sends"), pl.col("repeats")
    doubtful = state.is_in(DOUBTFUL)
    silent = doubtful & pl.col("recorded_at").is_null()

    def count(rule: pl.Expr) -> int:
        return of_message.filter(rule).height

    false_accepts = count((state == Outcome.ACCEPTED.value) & (sends == 0))
    left_open = count(state.is_in(list(OPEN)))
    absent = count(state.is_null())
    twice = count(sends > 1 + repeats)
    doubts_not_repeated = count(doubtful & (sends == 0)) if policy == "never_lose" else 0
    foreign = evidence.sends.join(evidence.messages, on="message_id", how="anti").height
    rules = {
        "left twice": twice,
        "are accepted but never left": false_accepts,
        "are still open": left_open,
        "are not in the ledger": absent,
        "are in doubt, never left, and were not sent once more": doubts_not_repeated,
        "left, but the ledger says otherwise": count(
            (sends > 0) & ~state.is_in([Outcome.ACCEPTED.value, *DOUBTFUL, *OPEN])
        ),
        "are accepted with an id that the provider gave to none of their sends": _misnamed(evidence),
        "were sent once more, which the policy forbids": count(repeats > 0) if policy == "never_duplicate" else 0,
    }
    problems = [f"{number} messages {rule}" for rule, number in rules.items() if number]
    problems += [f"{foreign} sends are of no message that was planned"] if foreign else []
    found = Judgement(
        messages=evidence.messages.height,
        left=count(sends > 0),
        sent_twice=twice,
        lost=false_accepts + count(state.is_in(list(OPEN)) & (sends == 0)) + absent + doubts_not_repeated,
        given_up=count(repeats > 0),
        repeated=count((repeats > 0) & (sends > 1)),
        silent=count(silent),
        silent_batches=of_message.filter(silent)["batch_no"].n_unique(),
        unanswered=count(doubtful & ~silent),
        doubts_that_left=count(doubtful & (sends > 0)),
        problems=(),
    )
    if bounds:
        problems += _beyond(found, bounds)
    return Judgement(**{**vars(found), "problems": tuple(problems)})


def _by_message(evidence: Evidence) -> pl.DataFrame:
    """A row a planned message, with its state and its numbers of sends and repeats."""
    sends = evidence.sends.group_by("message_id").len("sends")
    repeats = evidence.repeats.group_by("message_no").len("repeats")
    return (
        evidence.messages.select("message_no", "message_id")
        .join(evidence.states, on="message_no", how="left")
        .join(sends, on="message_id", how="left")
        .join(repeats, on="message_no", how="left")
        .with_columns(pl.col("sends", "repeats").cast(pl.Int64).fill_null(0))
    )


def _misnamed(evidence: Evidence) -> int:
    """Accepted messages that left, but under no id of which the ledger knows."""
    left = evidence.messages.join(evidence.sends, on="message_id")
    accepted = evidence.states.filter(pl.col("state") == Outcome.ACCEPTED.value).join(left, on="message_no", how="semi")
    return accepted.join(left, left_on=["message_no", "provider_id"], right_on=["message_no", "sid"], how="anti").height


def _beyond(found: Judgement, bounds: Bounds) -> list[str]:
    measured = {
        "claimed by workers that died": (found.silent, bounds.silent),
        "sent without an answer": (found.unanswered, bounds.unanswered),
    }
    return [
        f"{number} messages are in doubt, {why}, though accidents explain only {most}"
        for why, (number, most) in measured.items()
        if number > most
    ]
