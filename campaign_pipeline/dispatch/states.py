"""Where each message is, derived from what the ledger holds. Nothing stores a state.

    planned --claim--> in doubt --outcome--> not_sent | throttled --next claim--> in doubt ...
                                         \\-> accepted | rejected | suppressed | expired | cancelled | unknown

A claim covers those messages of its batch that were open: after the first attempt, the ones whose outcome of
every attempt before says "may be tried again".
"""

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from campaign_pipeline.core.words import RETRYABLE, Outcome
from campaign_pipeline.dispatch.ledger import UTC_TIME, Source

PLANNED = "planned"
"""Not claimed yet."""

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


def states(messages: pl.DataFrame, claims: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """The state of every message: columns STATES, a row a message, sorted by message_no.

    `messages`: message_no, batch_no. `claims`, `outcomes`: as read from the ledger. `state` is PLANNED (attempt 0) or
    a words.Outcome; a claim without outcome is in_doubt, with a null recorded_at.
    """
    tries = (
        messages.select("message_no", "batch_no")
        .join(claims.select("batch_no", "attempt"), on="batch_no", how="left")
        .join(deciding(outcomes), on=["message_no", "attempt"], how="left")
        .with_columns(
            state=pl.when(pl.col("attempt").is_null())
            .then(pl.lit(PLANNED))
            .otherwise(pl.col("outcome").fill_null(pl.lit(Outcome.IN_DOUBT.value))),
        )
        .sort("message_no", "attempt")
    )
    # The first attempt that is not "may be tried again" is where the message stays; later claims left it out.
    ended = ~pl.col("state").is_in([outcome.value for outcome in RETRYABLE])
    earlier_end = ended.cast(pl.Int32).cum_sum().over("message_no") - ended.cast(pl.Int32)
    return (
        tries.filter(earlier_end == 0)
        .unique("message_no", keep="last", maintain_order=True)
        .select(
            "message_no",
            "batch_no",
            pl.col("attempt").fill_null(0),
            "state",
            pl.col("code").fill_null(""),
            pl.col("provider_id").fill_null(""),
            "recorded_at",
        )
        .cast(pl.Schema(STATES))  # pyright: ignore[reportArgumentType]  (a Schema is what it takes)
    )


def deciding(outcomes: pl.DataFrame) -> pl.DataFrame:
    """Of each (message_no, attempt) the one row that counts: that of the strongest source."""
    if outcomes.get_column("source").n_unique() <= 1:
        return outcomes
    rank = {source.value: rank for rank, source in enumerate(Source)}
    return (
        outcomes.with_columns(rank=pl.col("source").replace_strict(rank, return_dtype=pl.Int8))
        .sort("rank")
        .unique(["message_no", "attempt"], keep="last", maintain_order=True)
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
