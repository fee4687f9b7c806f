"""How fast a run is sent, and when it will be through: from the ledger, for all of its workers together."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.error_classes import ErrorClass, errors_by_class
from campaign_pipeline.dispatch.states import IN_FLIGHT, OPEN

LATELY = timedelta(seconds=60)
"""The last minute: over it a rate is what it is now."""

SHORTEST = timedelta(seconds=1)
"""Less than this is no time to measure a rate over."""

WORKED_OFF = [outcome.value for outcome in (Outcome.ACCEPTED, Outcome.REJECTED, Outcome.IN_DOUBT, Outcome.SUPPRESSED)]
"""What workers bring messages to, one batch after another; a cancellation ends all at once, which is no rate."""


@dataclass(frozen=True)
class Throughput:
    """How a run goes on at one moment. Rates are messages a second that were brought to an end."""

    remaining: int  # messages that may still be sent
    rate: float  # over the last minute, or since the run began if that is less
    rate_overall: float  # from the first claim to the newest outcome, pauses included
    workers: int  # that hold a claim in flight
    estimated_end: datetime | None  # None: nothing is left, nothing goes on, or it waits for the next wave
    next_wave_at: datetime | None  # when what is left is taken up again; None: nothing waits
    errors: tuple[ErrorClass, ...]

    def as_row(self) -> dict[str, object]:
        """All fields, by name; errors as dicts. Rates are rounded: nobody measures a thousandth of a message."""
        rates = {"rate": round(self.rate, 2), "rate_overall": round(self.rate_overall, 2)}
        return {**vars(self), **rates, "errors": [each._asdict() for each in self.errors]}


def throughput(
    index: pl.DataFrame,
    where: pl.DataFrame,
    claims: pl.DataFrame,
    now: datetime,
    *,
    goes_on: bool = True,
    next_wave_at: datetime | None = None,
) -> Throughput:
    """Of a run whose messages are `where` (states.in_flight), planned as `index` (message_no, send_at).

    `goes_on`: neither paused nor ended. `next_wave_at` as it was noted: over once it has come, or workers are at it.
    """
    flying = where.filter(pl.col("state") == IN_FLIGHT).select("batch_no", "attempt").unique()
    workers = claims.join(flying, on=["batch_no", "attempt"], how="semi").get_column("worker").n_unique()
    rest = where.filter(pl.col("state").is_in(list(OPEN))).select("message_no")
    waits = goes_on and next_wave_at is not None and next_wave_at > now and not workers
    rate, overall = _rates(where, claims, now)
    end = None
    if goes_on and not waits:
        last_due: Any = rest.join(index.select("message_no", "send_at"), on="message_no").get_column("send_at").max()
        # A batch may take longer than a minute: while one is in flight, what held so far goes on.
        end = estimated_end(now, rest.height, rate or (overall if workers else 0.0), not_before=last_due)
    return Throughput(
        remaining=rest.height,
        rate=rate,
        rate_overall=overall,
        workers=workers,
        estimated_end=end,
        next_wave_at=next_wave_at if waits else None,
        errors=errors_by_class(where),
    )


def _rates(where: pl.DataFrame, claims: pl.DataFrame, now: datetime) -> tuple[float, float]:
    """(of the last minute, of the whole run), messages a second."""
    ended = where.filter(pl.col("state").is_in(WORKED_OFF)).get_column("recorded_at").drop_nulls()
    begun: Any = claims.get_column("claimed_at").min()
    newest: Any = ended.max()
    if begun is None or newest is None:
        return 0.0, 0.0
    lately = ended.filter(ended > now - LATELY).len()
    return (
        lately / max(min(LATELY, now - begun), SHORTEST).total_seconds(),
        ended.len() / max(newest - begun, SHORTEST).total_seconds(),
    )


def estimated_end(now: datetime, remaining: int, rate: float, *, not_before: datetime | None = None) -> datetime | None:
    """When `remaining` messages are through at `rate` a second; None if nothing is left, or nothing goes on.

    `not_before`: when the last of them is due.
    """
    if remaining <= 0 or rate <= 0:
        return None
    try:
        end = now + timedelta(seconds=remaining / rate)
    except OverflowError:  # after the year 9999
        return None
    return max(end, not_before) if not_before else end
