"""Roll-outs: a campaign that is tested on some of its audience first, and then sent to the rest by what came of it.

The first run freezes everybody; those who wait are `reserved` in it. Each later part is a run of its own, over the
reserved contacts whose place is in the part's share. Places are a hash of contact and first run, and the shares do not
overlap: nobody can be in two parts, whatever is killed or done twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import Discriminator, Field, Tag, model_validator

from campaign_pipeline.campaigns.assignment import Range
from campaign_pipeline.campaigns.durations import Duration
from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.core.hashing import buckets


class Winner(Definition):
    """Test on a share, then send the best variant to all others."""

    method: Literal["winner"]
    test_share: float = Field(0.2, gt=0, lt=1, allow_inf_nan=False, description="Of those who could be sent to.")
    decide_after: Duration = Field(timedelta(hours=24), description="How long after the run's time it is decided.")
    decide_when: Literal["at_time", "sequential"] = Field(
        "at_time", description="sequential: before that time as well, once the sequential interval leaves zero."
    )
    max_expected_loss: float = Field(
        0.01, gt=0, le=1, allow_inf_nan=False, description="Of the control's mean: what the choice may cost on average."
    )
    timeout: Duration = Field(timedelta(hours=48), description="After the run's time; then on_timeout decides.")
    on_timeout: Literal["control", "best"] = "control"

    @model_validator(mode="after")
    def _ends_after_it_decides(self) -> Self:
        if self.timeout < self.decide_after:
            raise ValueError("timeout: must not be before decide_after")
        return self

    @property
    def lasts(self) -> timedelta:
        """From the first run's time until the last part is decided."""
        return self.timeout

    def shares(self) -> tuple[Range, ...]:
        return (0.0, self.test_share), (self.test_share, 1.0)


class Thompson(Definition):
    """Batches: the share of each variant in the next one is about its probability to be the best."""

    method: Literal["thompson"]
    batches: int = Field(10, ge=2, le=50, description="Equal parts of those who could be sent to.")
    every: Duration = Field(timedelta(hours=2), description="From one batch to the next.")
    floor: float = Field(0.01, gt=0, le=0.5, allow_inf_nan=False, description="Share that every variant keeps.")
    at_least: int = Field(100, ge=0, description="Contacts of every variant in a batch, where it has so many.")

    @property
    def lasts(self) -> timedelta:
        """From the first run's time until the last part is decided, if none is held up."""
        return self.every * (self.batches - 1)

    def shares(self) -> tuple[Range, ...]:
        ends = [part / self.batches for part in range(self.batches + 1)]
        return tuple(pairwise(ends))


def _method(value: object) -> str | None:
    method = value.get("method") if isinstance(value, Mapping) else getattr(value, "method", None)
    return method if method in ("winner", "thompson") else None


Rollout = Annotated[
    Annotated[Winner, Tag("winner")] | Annotated[Thompson, Tag("thompson")],
    Discriminator(
        _method, custom_error_type="rollout", custom_error_message="needs a method, which is winner or thompson"
    ),
]


@dataclass(frozen=True)
class Part:
    """What makes a run a later part of a roll-out: decided once, and final."""

    parent_run_id: str  # the run that froze everybody
    part_no: int  # 1, 2 ...; the first run is part 0
    share: Range  # half-open, of the places
    weights: Mapping[str, float]  # of the variants in this part; they add up to 1
    reason: str
    decided_by: str
    decided_at: datetime

    @property
    def randomised(self) -> bool:
        """Whether there is something to compare in it."""
        return sum(weight > 0 for weight in self.weights.values()) > 1


def within(run_id: str, share: Range, ids: pl.Series) -> pl.Series:
    """Whose place in the roll-out of `run_id` (the first run) is in the half-open `share`; contact ids in, true out."""
    places: Any = buckets(f"{run_id}:rollout", ids)
    start, end = share
    return pl.Series((places >= start) & ((places < end) | (end >= 1)))
