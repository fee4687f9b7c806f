"""Where each message is, derived from what the ledger holds. Nothing stores a state.

    standby --called--> planned --claim--> in doubt --outcome--> not_sent | throttled --next claim--> in doubt ...
                                         \\-> accepted | rejected | suppressed | expired | cancelled | unknown

A claim covers those messages of its batch that were open: after the first attempt, the ones whose outcome of
every attempt before says "may be tried again". An outcome of a whole batch stands for each of its messages that has
none of its own at that attempt; one is written only by a claim that covered the batch whole.
"""

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from campaign_pipeline.core.words import RETRYABLE, Outcome
from campaign_pipeline.dispatch.ledger import UTC_TIME, Ledger, Source

PLANNED = "planned"
"""Not claimed yet."""

STANDBY = "standby"
"""A message of a fallback channel that nobody has called for yet: see fallbacks.py."""

IN_FLIGHT = "in_flight"
"""Claimed so lately that its worker may still be waiting for the answer."""

OPEN = frozenset({PLANNED, *(outcome.value for outcome in RETRYABLE)})
"""States from which a message may be sent; plain strings, as polars makes enums of enum members."""

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

_RANK = {source.value: rank for rank, source in enumerate(Source)}
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
        # The first attempt that is not "may be tried again" is where the message stays; later claims left it out.
        ended = ~pl.col("state").is_in([outcome.value for outcome in RETRYABLE])
        earlier_end = ended.cast(pl.Int32).cum_sum().over("message_no") - ended.cast(pl.Int32)
        tries = (
            tries.sort("message_no", "attempt")
            .filter(earlier_end == 0)
            .unique("message_no", keep="last", maintain_order=True)
        )
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


def attempts(messages: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """A row for each message and claim of its batch, one with nulls for a message whose batch was never claimed.

    Columns message_no, batch_no, attempt, source, outcome, code, provider_id, recorded_at: what counts of the attempt;
    null where nothing is known, or the attempt left the message out.
    """
    tries = (
        messages.select("message_no", "batch_no")
        .join(ledger.claims.select("batch_no", "attempt"), on="batch_no", how="left")
        .join(deciding(ledger.batch_outcomes, "batch_no"), on=["batch_no", "attempt"], how="left")
    )
    if not ledger.outcomes.height:
        return tries
    own = deciding(ledger.outcomes, "message_no").rename({name: f"own_{name}" for name in _SAID})
    rank = {name: pl.col(name).replace_strict(_RANK, return_dtype=pl.Int8) for name in ("own_source", "source")}
    mine = pl.col("own_source").is_not_null() & (rank["own_source"] >= rank["source"].fill_null(-1))
    return tries.join(own, on=["message_no", "attempt"], how="left").select(
        "message_no",
        "batch_no",
        "attempt",
        *(pl.when(mine).then(f"own_{name}").otherwise(name).alias(name) for name in _SAID),
    )


def deciding(outcomes: pl.DataFrame, key: str = "message_no") -> pl.DataFrame:
    """Of each (`key`, attempt) the one row that counts: that of the strongest source."""
    if outcomes.get_column("source").n_unique() <= 1:
        return outcomes
    return (
        outcomes.with_columns(rank=pl.col("source").replace_strict(_RANK, return_dtype=pl.Int8))
        .sort("rank")
        .unique([key, "attempt"], keep="last", maintain_order=True)
        .drop("rank")
    )


def in_flight(states: pl.DataFrame, claims: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """`states` with IN_FLIGHT instead of in_doubt for claims without outcome that are younger than SETTLING."""
    young = claims.filter(pl.col("claimed_at") > now - SETTLING).select("batch_no", "attempt", young=pl.lit(True))
    waiting = (
        (pl.col("state") == Outcome.IN_DOUBT.value) & pl.col("recorded_at").is_null() & pl.col("young").fill_null(False)
    )
    return (
        states.join(young, on=["batch_no", "attempt"], how="left", maintain_order="left")
        .with_columns(state=pl.when(waiting).then(pl.lit(IN_FLIGHT)).otherwise("state"))
        .drop("young")
    )
