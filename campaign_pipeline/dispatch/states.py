"""Where each message is, derived from what the ledger holds. Nothing stores a state.

    standby --called--> planned --claim--> in doubt --outcome--> not_sent | throttled --next claim--> in doubt ...
                                         \\-> accepted | rejected | suppressed | expired | cancelled | unknown

A claim covers those messages of its batch that were open, and names them unless it covers the batch whole. An outcome
of a whole batch stands for each of its messages that has none of its own at that attempt; one is written only by a
claim that covered the batch whole.

A message is where its last attempt left it, but accepted if any was. One that was sent once more because nobody knew
of the first attempt (never_lose) is accepted or unknown in the end: whatever became of the repeat, the first may have
arrived.
"""

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from campaign_pipeline.core.words import RETRYABLE, Outcome
from campaign_pipeline.dispatch.ledger import NEVER_LOSE, UTC_TIME, Ledger, Source

PLANNED = "planned"
"""Not claimed yet."""

STANDBY = "standby"
"""A message of a fallback channel that nobody has called for yet: see fallbacks.py."""

IN_FLIGHT = "in_flight"
"""Claimed so lately that its worker may still be waiting for the answer."""

OPEN = frozenset({PLANNED, *(outcome.value for outcome in RETRYABLE)})
"""States from which a message may be sent; plain strings, as polars makes enums of enum members."""

MAY_HAVE_ARRIVED = frozenset({Outcome.ACCEPTED.value, Outcome.IN_DOUBT.value, Outcome.UNKNOWN.value})
"""States in which the contact may have the message."""

SETTLING = timedelta(minutes=5)
"""A claim without outcome counts as in flight for so long, and as in doubt afterwards. Either way it is not resent."""

STATES: dict[str, Any] = {
    "message_no": pl.Int32,
    "batch_no": pl.Int32,
    "attempt": pl.Int32,
    "state": pl.String,
    "code": pl.String,
    "provider_id": pl.String,
    "recorded_at": UTC_TIME,
}

_TRIED = ("message_no", "batch_no", "attempt", "named")
_SAID = ("source", "outcome", "code", "provider_id", "recorded_at")


def states(messages: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """The state of every message: columns STATES, a row a message, sorted by message_no.

    `messages`: message_no, batch_no, and step if there are fallbacks. `state` is PLANNED or STANDBY (attempt 0) or a
    words.Outcome; a claim without outcome is in_doubt, with a null recorded_at.
    """
    found = _claimed_or_not(messages, ledger)
    has_fallbacks = "step" in messages.columns and bool((messages["step"] > 0).any())
    return _with_fallbacks(found, messages, ledger) if has_fallbacks else found


def _with_fallbacks(found: pl.DataFrame, messages: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """`found`, where messages of later steps stand by until a row of attempt 0 says what becomes of them."""
    said = ledger.outcomes.filter(pl.col("attempt") == 0).select(
        "message_no", *(pl.col(name).alias(f"said_{name}") for name in ("outcome", "code", "recorded_at"))
    )
    called = pl.col("said_outcome") == Outcome.NOT_SENT.value
    waits = (pl.col("step") > 0) & (pl.col("state") == PLANNED) & ~called.fill_null(False)
    return (
        found.join(messages.select("message_no", "step"), on="message_no", how="left", maintain_order="left")
        .join(said, on="message_no", how="left", maintain_order="left")
        .with_columns(
            state=pl.when(waits).then(pl.col("said_outcome").fill_null(pl.lit(STANDBY))).otherwise("state"),
            code=pl.when(waits).then(pl.col("said_code").fill_null("")).otherwise("code"),
            recorded_at=pl.when(waits).then("said_recorded_at").otherwise("recorded_at"),
        )
        .select(*STATES)
    )


def _claimed_or_not(messages: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    tries = attempts(messages, ledger).with_columns(
        state=pl.when(pl.col("attempt").is_null())
        .then(pl.lit(PLANNED))
        .otherwise(pl.col("outcome").fill_null(pl.lit(Outcome.IN_DOUBT.value))),
    )
    if tries.height > messages.height:
        tries = _where_they_stay(tries)
    return (
        tries.select(
            "message_no",
            "batch_no",
            pl.col("attempt").fill_null(0),
            "state",
            pl.col("code").fill_null(""),
            pl.col("provider_id").fill_null(""),
            "recorded_at",
        )
        .cast(pl.Schema(STATES))  # pyright: ignore[reportArgumentType]  (a Schema is what it takes)
        .sort("message_no")
    )


def _where_they_stay(tries: pl.DataFrame) -> pl.DataFrame:
    """Of the attempts of each message, with their states, the one that says where it is."""
    tries = tries.sort("message_no", "attempt")
    # Claims of earlier versions name nobody: there, a message stays at the first attempt that ended it.
    ended = ~pl.col("state").is_in([outcome.value for outcome in RETRYABLE])
    earlier_end = ended.cast(pl.Int32).cum_sum().over("message_no") - ended.cast(pl.Int32)
    is_accepted = pl.col("state") == Outcome.ACCEPTED.value
    last = pl.when(is_accepted).then(-pl.col("attempt")).otherwise("attempt")
    gave_up = pl.col("attempt").filter(is_repeated()).max().over("message_no")
    # Whatever else became of the repeat, nobody knows of the attempt that was given up for it.
    unknown = pl.col("gave_up").is_not_null() & ~pl.col("state").is_in([*MAY_HAVE_ARRIVED, *OPEN])
    return (
        tries.filter((earlier_end == 0) | pl.col("named"))
        .with_columns(gave_up=gave_up)
        .sort("message_no", is_accepted, last)
        .unique("message_no", keep="last", maintain_order=True)
        .with_columns(
            state=pl.when(unknown).then(pl.lit(Outcome.UNKNOWN.value)).otherwise("state"),
            attempt=pl.when(unknown).then("gave_up").otherwise("attempt"),
        )
    )


def is_repeated() -> pl.Expr:
    """Of attempts: given up by never_lose, so that the message is sent once more."""
    return (pl.col("source") == Source.POLICY.value) & (pl.col("code") == NEVER_LOSE)


def attempts(messages: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """A row for each message and claim that covers it, one with nulls for a message whose batch was never claimed.

    Columns message_no, batch_no, attempt, named (whether the claim names the message), and source, outcome, code,
    provider_id, recorded_at: what counts of the attempt; null where nothing is known.
    """
    tries = _claimed(messages, ledger)
    if not ledger.batch_outcomes.height:
        return tries.join(deciding(ledger.outcomes), on=["message_no", "attempt"], how="left").select(*_TRIED, *_SAID)
    whole = deciding(ledger.batch_outcomes, "batch_no")
    tries = tries.join(whole, on=["batch_no", "attempt"], how="left").select(*_TRIED, *_SAID)
    if not ledger.outcomes.height:
        return tries
    # Its batch's answer is not that of a message which was answered otherwise, whatever is thought of it since.
    answered = ledger.outcomes.filter(pl.col("source") == Source.SEND.value)
    own = (
        deciding(ledger.outcomes)
        .join(answered.select("message_no", "attempt", answered=True), on=["message_no", "attempt"], how="left")
        .with_columns(own_strength=strength())
        .rename({name: f"own_{name}" for name in _SAID})
    )
    otherwise = pl.col("answered") & (pl.col("source") == Source.SEND.value)
    mine = otherwise | (pl.col("own_strength") >= strength().fill_null(-1))
    return tries.join(own, on=["message_no", "attempt"], how="left").select(
        *_TRIED, *(pl.when(mine).then(f"own_{name}").otherwise(name).alias(name) for name in _SAID)
    )


def _claimed(messages: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """message_no, batch_no, attempt, named: a row for each message and claim that covers it."""
    messages, claims = messages.select("message_no", "batch_no"), ledger.claims.select("batch_no", "attempt")
    if not ledger.covered.height:
        return messages.join(claims, on="batch_no", how="left").with_columns(named=pl.lit(False))
    whole = claims.join(ledger.covered, on=["batch_no", "attempt"], how="anti")
    covering = pl.concat(
        [
            messages.join(whole, on="batch_no").select("message_no", "attempt", named=pl.lit(False)),
            ledger.covered.join(claims, on=["batch_no", "attempt"], how="semi").select(
                "message_no", "attempt", named=pl.lit(True)
            ),
        ]
    )
    return messages.join(covering, on="message_no", how="left").with_columns(pl.col("named").fill_null(False))


def strength(source: str = "source", outcome: str = "outcome", code: str = "code") -> pl.Expr:
    """How much a row of these columns weighs: of several about one attempt, the strongest counts. Null for none.

    Knowing nothing, giving up, an opinion, the provider's answer, who was left out by a rule, proof.
    """
    says = pl.col(outcome)
    said_by = {member: pl.col(source) == member.value for member in Source}
    return (
        pl.when(pl.col(source).is_null())
        .then(None)
        .when(said_by[Source.EVENT])
        .then(7)
        .when(said_by[Source.LOOKUP])
        .then(6)
        .when(says == Outcome.IN_DOUBT.value)
        .then(0)
        .when(says == Outcome.UNKNOWN.value)
        .then(1)
        .when(said_by[Source.POLICY] & (pl.col(code) == NEVER_LOSE))
        .then(2)
        .when(said_by[Source.OPERATOR])
        .then(3)
        .when(said_by[Source.SEND])
        .then(4)
        .otherwise(5)
    )


def deciding(outcomes: pl.DataFrame, key: str = "message_no") -> pl.DataFrame:
    """Of each (`key`, attempt) the one row that counts: the strongest."""
    if outcomes.get_column("source").n_unique() <= 1:
        return outcomes
    return (
        outcomes.with_columns(strength=strength())
        .sort("strength", maintain_order=True)
        .unique([key, "attempt"], keep="last", maintain_order=True)
        .drop("strength")
    )


def in_flight(
    states: pl.DataFrame, claims: pl.DataFrame, now: datetime, settling: timedelta = SETTLING
) -> pl.DataFrame:
    """`states` with IN_FLIGHT instead of in_doubt for claims without outcome that are younger than `settling`."""
    young = claims.filter(pl.col("claimed_at") > now - settling).select("batch_no", "attempt", young=pl.lit(True))
    waiting = (
        (pl.col("state") == Outcome.IN_DOUBT.value) & pl.col("recorded_at").is_null() & pl.col("young").fill_null(False)
    )
    return (
        states.join(young, on=["batch_no", "attempt"], how="left", maintain_order="left")
        .with_columns(state=pl.when(waiting).then(pl.lit(IN_FLIGHT)).otherwise("state"))
        .drop("young")
    )
