"""The rate of a sender, one for all workers: a row of the database that every claim passes by.

GCRA, the generic cell rate algorithm, as virtual scheduling (ITU-T Recommendation I.371, where `next_at` is called the
theoretical arrival time). A row holds one number, `next_at`: when the next unit would be due if all came evenly. Units
may come early by as much as the burst takes; what comes earlier waits. A sender that was idle saves up its burst, and
no more.

Units are taken only if they may go at once: nobody reserves the future. A worker that dies after it took its share
loses that share; the rate is never exceeded. Clocks that differ by s seconds add at most rate * s units, once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from campaign_pipeline.core.database import insert_new
from campaign_pipeline.core.tables import pacing

LONGEST_BACKOFF = 600.0
"""Seconds. A provider that wants a longer pause says so again."""

LARGEST_BATCH = 10_000
"""Units: 1000 messages of 10 parts. No row is further ahead than these, or a burst, and a pause take."""


@dataclass(frozen=True)
class Pace:
    """`rate` in units a second; None: any. `burst`: units that may go at once; never less than one batch.

    `domain`: the recipients that it holds for; "": all of the sender's.
    """

    rate: float | None = None
    burst: int = 1
    domain: str = ""

    def seconds(self, units: int) -> float:
        """How long `units` take at the rate."""
        return units / self.rate if self.rate else 0.0


class Slot(NamedTuple):
    wait: float  # seconds until the units may go; 0: now
    next_at: float  # of the row, once they have gone


def slot(next_at: float, now: float, units: int, pace: Pace) -> Slot:
    """When `units` may go, by a row that says `next_at`; times in Unix seconds."""
    if next_at > now + pace.seconds(max(pace.burst, LARGEST_BATCH)) + LONGEST_BACKOFF:
        next_at = now  # nobody wrote that before now: the clock was set back since
    tolerance = pace.seconds(max(pace.burst, units))
    due = max(next_at, now) + pace.seconds(units)
    return Slot(max(0.0, due - tolerance - now), due)


def take(connection: sa.Connection, sender: str, paces: Sequence[Pace], units: int, now: datetime) -> Sequence[float]:
    """The seconds that each pace wants `units` to wait; if none does, they are taken at each.

    Call it in a transaction that writes. `paces`: the sender's own first, which is locked until the transaction ends.
    """
    slots = [slot(_locked(connection, sender, pace.domain), now.timestamp(), units, pace) for pace in paces]
    if not any(each.wait for each in slots):
        for pace, each in zip(paces, slots, strict=True):
            _write(connection, sender, pace.domain, each.next_at)
    return [each.wait for each in slots]


def back_off(connection: sa.Connection, sender: str, pace: Pace, seconds: float, now: datetime) -> None:
    """The provider wants a pause: nothing of the sender goes for so long (at most LONGEST_BACKOFF), from any worker.

    Afterwards it goes at its rate, without a burst. `pace`: the sender's own.
    """
    until = now.timestamp() + min(seconds, LONGEST_BACKOFF) + pace.seconds(pace.burst)
    _write(connection, sender, "", max(_locked(connection, sender, ""), until))


def backing_off(connection: sa.Connection, sender: str, now: datetime) -> float:
    """Seconds for which a sender without a rate is held by `back_off`: it takes nothing, and locks nothing."""
    next_at = connection.execute(_NEXT_AT, {"sender": sender, "domain": ""}).scalar_one_or_none()
    return slot(next_at, now.timestamp(), 1, Pace()).wait if next_at is not None else 0.0


def _locked(connection: sa.Connection, sender: str, domain: str) -> float:
    """The row's next_at, which nobody else changes until the transaction ends."""
    key = {"sender": sender, "domain": domain}
    found = connection.execute(_NEXT_AT_LOCKED, key).scalar_one_or_none()
    if found is None:
        insert_new(connection, pacing, [key | {"next_at": 0.0}])
        found = connection.execute(_NEXT_AT_LOCKED, key).scalar_one()
    return found


_NEXT_AT = sa.select(pacing.c.next_at).where(
    pacing.c.sender == sa.bindparam("sender"), pacing.c.domain == sa.bindparam("domain")
)
_NEXT_AT_LOCKED = _NEXT_AT.with_for_update()


def _write(connection: sa.Connection, sender: str, domain: str, next_at: float) -> None:
    row = sa.and_(pacing.c.sender == sender, pacing.c.domain == domain)
    connection.execute(sa.update(pacing).where(row).values(next_at=next_at))
