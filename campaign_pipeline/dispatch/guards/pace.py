"""The pace of a run's sender, as a guard: its rate, its ceilings by day, and the pauses that the provider asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from campaign_pipeline.campaigns.sender_policy import SenderPolicy, per_second
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.words import RETRYABLE, Outcome
from campaign_pipeline.dispatch import ceilings, pacing
from campaign_pipeline.dispatch.ceilings import Ceiling
from campaign_pipeline.dispatch.channels.base import Batch, Result
from campaign_pipeline.dispatch.guards.base import CLEAR, Guard, LeftOut, Permit
from campaign_pipeline.dispatch.pacing import Pace

LONGEST_WAIT = 60.0
"""Seconds that a worker stays for; what has to wait longer is taken up in a later wave."""


def paces_of(policy: SenderPolicy, domain: str = "") -> list[Pace]:
    """What is asked for messages of that pace: the sender's own rate first, then the domain's if it has one."""
    own = Pace(*_rate(policy.rate, policy.burst))
    of_domain = policy.domain(domain)
    if of_domain is None or of_domain.rate is None:
        return [own]
    return [own, Pace(*_rate(of_domain.rate, None), domain)]


def ceilings_of(policy: SenderPolicy, domain: str = "") -> list[Ceiling]:
    """As `paces_of`: what is counted for messages of that pace."""
    start = policy.warm_up.start if policy.warm_up else None
    of_day = policy.ceiling if policy.warm_up or policy.daily else None
    own = Ceiling(of_day, start=start.isoformat() if start else "")
    of_domain = policy.domain(domain)
    if of_domain is None:
        return [own]
    daily = of_domain.daily
    return [own, Ceiling((lambda _day: daily) if daily else None, domain)]


def _rate(rate: str | None, burst: int | None) -> tuple[float | None, int]:
    units = per_second(rate) if rate else None
    return units, burst or max(1, int(units or 1))


@dataclass
class Paced(Guard):
    """Of one sender, by its policy. Without one, only the provider's own wishes are kept.

    The rate is taken before the claim. The day is counted within it; those for whom it has no room are known before,
    unless another worker was faster.
    """

    engine: sa.Engine
    sender: str
    policy: SenderPolicy | None = None
    _counted: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])  # on which day

    def look(self, batch: Batch, now: datetime) -> Permit:
        if self.policy is None:
            with reading(self.engine) as connection:
                return self._after([pacing.backing_off(connection, self.sender, now)], now)
        return self._taken(self.policy, batch, now)

    def within(self, connection: sa.Connection, batch: Batch, now: datetime) -> Sequence[LeftOut]:
        if self.policy is None:
            return ()
        day = self._day(self.policy, now)
        counted = ceilings_of(self.policy, batch.pace)
        fit = ceilings.count(connection, self.sender, counted, batch.column("parts"), day)
        self._counted[batch.run_id, batch.batch_no] = day
        return _beyond(batch, fit)

    def told(self, batch: Batch, results: Sequence[Result], now: datetime) -> None:
        wish = max((result.retry_after for result in results), default=0.0)
        day = self._counted.pop((batch.run_id, batch.batch_no), "")
        unsent = {result.message_no for result in results if result.outcome in RETRYABLE} if day else ()
        units = batch.only(unsent).units if unsent else 0
        if not wish and not (day and units):
            return
        with writing(self.engine) as connection:
            if wish:
                own = paces_of(self.policy)[0] if self.policy else Pace()
                pacing.back_off(connection, self.sender, own, wish, now)
            if self.policy and day:
                ceilings.give_back(connection, self.sender, ceilings_of(self.policy, batch.pace), units, day)

    def _taken(self, policy: SenderPolicy, batch: Batch, now: datetime) -> Permit:
        day, units = self._day(policy, now), batch.column("parts")
        with writing(self.engine) as connection:
            for ceiling in ceilings_of(policy, batch.pace):
                room = ceilings.room(connection, self.sender, ceiling, day)
                units = units[: ceilings.fitting(units, room)]
                if not units:
                    tomorrow = ceilings.next_day(now, ZoneInfo(policy.timezone))
                    whose = f" for {ceiling.domain}" if ceiling.domain else ""
                    why = f"the day's ceiling of {self.sender}{whose} is used up"
                    return Permit(later=tomorrow, for_all=not ceiling.domain, why=why)
            waits = pacing.take(connection, self.sender, paces_of(policy, batch.pace), sum(units), now)
        return self._after(waits, now) if any(waits) else Permit(left_out=_beyond(batch, len(units)))

    def _after(self, waits: Sequence[float], now: datetime) -> Permit:
        """`waits`: of the sender's own pace, and of the domain's if it has one."""
        seconds = max(waits)
        if not seconds:
            return CLEAR
        for_all = waits[0] == seconds
        if seconds <= LONGEST_WAIT:
            return Permit(wait=seconds, for_all=for_all)
        return Permit(later=now + timedelta(seconds=seconds), for_all=for_all, why=f"{self.sender} keeps its pace")

    def _day(self, policy: SenderPolicy, now: datetime) -> str:
        return ceilings.day_of(now, ZoneInfo(policy.timezone))


def _beyond(batch: Batch, fit: int) -> tuple[LeftOut, ...]:
    """Who has to wait for the next day: all but the first `fit` messages."""
    return tuple(LeftOut(number, Outcome.NOT_SENT, "ceiling") for number in batch.numbers[fit:])
