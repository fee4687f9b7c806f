"""How fast a channel's sender goes: its rate, its ceilings by day, its warm-up, and what single recipient domains take.

Rates and ceilings count units: messages, and for SMS parts, by which carriers count.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Self

import polars as pl
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from campaign_pipeline.campaigns.definition import Duration
from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.segments.moments import Zone, iso

OTHERS = "*"
"""In `domains`: all domains that are not named, together."""

MOST_DAYS = 366

_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(messages|parts)?\s*/\s*(s|min|h|d)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]{2,}")


def per_second(rate: str) -> float:
    """Units a second of a rate such as `50/s`, `10 parts/s`, `3000/h`; ValueError if it is none."""
    found = _RATE.fullmatch(rate.strip())
    units = float(found[1]) / _SECONDS[found[3]] if found else 0.0
    if not units:
        raise ValueError("is not a rate such as 50/s, 10 parts/s, 600/min or 3000/h")
    return units


def _rate(rate: object) -> object:
    per_second(str(rate))  # a bare number is no rate either: of what, in what time?
    return rate


def _domain(name: str) -> str:
    if name != OTHERS and not _DOMAIN.fullmatch(name):
        raise ValueError("is not a domain in lower case such as gmail.com, or '*' for all others together")
    return name


Rate = Annotated[str, BeforeValidator(_rate)]
Daily = Annotated[int, Field(ge=1, le=10**9)]
DomainName = Annotated[str, AfterValidator(_domain)]


class WarmUp(Definition):
    """A new sender earns its reputation: what it may send on its first, second ... day, then no more ceiling by this.

    Days on which nothing was sent do not count.
    """

    daily: tuple[Daily, ...] = Field((), max_length=MOST_DAYS, description="Units of each day, written out.")
    first: Daily | None = Field(None, description="Or: units of the first day ...")
    growth: float | None = Field(None, gt=1, le=10, description="... times this from one day to the next ...")
    until: Daily | None = Field(None, description="... as long as a day has less than this.")
    start: Annotated[date | None, BeforeValidator(iso)] = Field(
        None, description="Days before this one do not count; absent: all days of the sender do."
    )

    @model_validator(mode="after")
    def _is_one_plan(self) -> Self:
        growing = (self.first, self.growth, self.until)
        if bool(self.daily) == any(value is not None for value in growing):
            raise ValueError("needs either daily: [50, 100, ...], or first, growth and until")
        if not self.daily and None in growing:
            raise ValueError("first, growth and until go together")
        if any(later < earlier for earlier, later in pairwise(self.daily)):
            raise ValueError("daily: a day must not have less than the day before")
        if len(self.ceilings) > MOST_DAYS:
            raise ValueError(f"takes longer than {MOST_DAYS} days: let it grow faster")
        return self

    @property
    def ceilings(self) -> Sequence[int]:
        """Units of each day of the plan."""
        if self.first is None or self.growth is None or self.until is None:
            return self.daily
        days: list[int] = []
        while len(days) <= MOST_DAYS and (units := int(self.first * self.growth ** len(days))) < self.until:
            days.append(units)
        return days


class DomainPolicy(Definition):
    """What one recipient domain takes."""

    rate: Rate | None = Field(None, description="Such as 20/s; absent: as the sender.")
    daily: Daily | None = Field(None, description="Messages a day.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.rate is None and self.daily is None:
            raise ValueError("needs a rate, a daily ceiling, or both")
        return self


class BreakerPolicy(Definition):
    """When nothing more is sent after refusals, and for how long."""

    filtered: Annotated[int, Field(ge=1, description="So many messages taken for spam ...")] = 10
    of: Annotated[int, Field(ge=1, le=10_000, description="... of the last so many hold the sender.")] = 50
    pause: Annotated[Duration, Field(description="For how long, until one small batch tries.")] = timedelta(minutes=5)
    longest: Annotated[Duration, Field(description="It doubles with each try, up to this.")] = timedelta(hours=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.filtered > self.of:
            raise ValueError(f"filtered: {self.filtered} of {self.of} answers can never be")
        if self.longest < self.pause:
            raise ValueError("longest is shorter than pause")
        return self


class SenderPolicy(Definition):
    """The pace of a channel's sender. Absent everywhere: as fast as the provider takes it."""

    rate: Rate | None = Field(None, description="Such as 50/s, 10 parts/s (SMS), 3000/h.")
    burst: int | None = Field(
        None, ge=1, le=10**7, description="Units that may go at once after a pause; absent: what a second has."
    )
    daily: Daily | None = Field(None, description="Units a day, for good.")
    warm_up: WarmUp | None = None
    timezone: Zone = Field("UTC", description="Where a day begins at midnight.")
    domains: dict[DomainName, DomainPolicy] = Field(default_factory=dict)
    breaker: BreakerPolicy = BreakerPolicy()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.burst is not None and self.rate is None:
            raise ValueError("burst goes with a rate")
        return self

    def ceiling(self, day: int) -> int | None:
        """Units of the sender's `day`-th day (from 1) of its warm-up; None: no ceiling."""
        plan = self.warm_up.ceilings if self.warm_up else ()
        found = [units for units in (plan[day - 1] if day <= len(plan) else None, self.daily) if units is not None]
        return min(found, default=None)

    def domain(self, pace: str) -> DomainPolicy | None:
        """What holds for messages of this `pace` (see pace_of) beside the sender's own."""
        return self.domains.get(pace) if pace else None


def pace_of(policy: SenderPolicy | None) -> Callable[[pl.Series], pl.Series]:
    """A function of e-mail addresses: the recipient domain of each if it has a pace of its own, `*` or "" if not.

    Batches are cut by it, so that each one belongs to one domain. Columns: String to String, without nulls.
    """
    domains = policy.domains if policy else {}
    named = pl.Series([name for name in domains if name != OTHERS], dtype=pl.String)
    rest = pl.lit(OTHERS if OTHERS in domains else "")

    def of(addresses: pl.Series) -> pl.Series:
        domain = pl.col("address").str.extract(r"@([^@]*)$").str.to_lowercase()
        found = pl.when(domain.is_in(named.implode())).then(domain).otherwise(rest)
        return pl.DataFrame({"address": addresses}, schema={"address": pl.String}).select(pace=found)["pace"]

    return of
