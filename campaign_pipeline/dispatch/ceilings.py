"""How much a sender may send in a day: counted with each claim, in its own transaction, so that no crash miscounts it.

Counts are by sender, recipient domain ("": all of the sender's) and day. Messages for which a day has no room are left
open for the next one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from campaign_pipeline.core.tables import sender_days

_KEY = ("sender", "domain", "day")


@dataclass(frozen=True)
class Ceiling:
    """`of_day`: units of the n-th day (from 1) of sending; such days count from `start` on. None: any number."""

    of_day: Callable[[int], int | None] | None
    domain: str = ""
    start: str = ""  # YYYY-MM-DD


def day_of(now: datetime, zone: ZoneInfo) -> str:
    """YYYY-MM-DD in `zone`."""
    return now.astimezone(zone).date().isoformat()


def next_day(now: datetime, zone: ZoneInfo) -> datetime:
    """When the day after begins in `zone`, in UTC."""
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), zone).astimezone(UTC)


def fitting(units: Sequence[int], room: int | None) -> int:
    """How many messages, from the first on, fit into `room`; `units` of each."""
    return len(units) if room is None else sum(total <= room for total in accumulate(units))


def room(connection: sa.Connection, sender: str, ceiling: Ceiling, day: str) -> int | None:
    """Units that may still go today; None: any number."""
    limit = limit_of(connection, sender, ceiling, day)
    return None if limit is None else limit - used_on(connection, sender, day, ceiling.domain)


def count(connection: sa.Connection, sender: str, ceilings: Sequence[Ceiling], units: Sequence[int], day: str) -> int:
    """Count the messages that fit into the day, by every ceiling, from the first on; how many these are.

    `units`: of each message. `ceilings`: the sender's own first. The counts are locked until the transaction ends.
    """
    wanted = sum(units)
    fit = len(units)
    for ceiling in ceilings:
        used = _add(connection, sender, ceiling.domain, day, wanted) - wanted
        limit = limit_of(connection, sender, ceiling, day)
        fit = min(fit, fitting(units, None if limit is None else limit - used))
    give_back(connection, sender, ceilings, sum(units[fit:]), day)
    return fit


def give_back(connection: sa.Connection, sender: str, ceilings: Sequence[Ceiling], units: int, day: str) -> None:
    """These units were counted on `day` and did not go: they count no more."""
    for ceiling in ceilings if units else ():
        _add(connection, sender, ceiling.domain, day, -units)


def limit_of(connection: sa.Connection, sender: str, ceiling: Ceiling, day: str) -> int | None:
    """Units of the whole day; None: any number. Of earlier days, those count on which something was sent."""
    if ceiling.of_day is None:
        return None
    earlier = sa.and_(sender_days.c.day >= ceiling.start, sender_days.c.day < day, sender_days.c.units > 0)
    query = sa.select(sa.func.count()).where(_of(sender, ceiling.domain), earlier)
    return ceiling.of_day(connection.execute(query).scalar_one() + 1)


def used_on(connection: sa.Connection, sender: str, day: str, domain: str = "") -> int:
    """Units that were counted that day."""
    query = sa.select(sender_days.c.units).where(_of(sender, domain), sender_days.c.day == day)
    return connection.execute(query).scalar_one_or_none() or 0


def _add(connection: sa.Connection, sender: str, domain: str, day: str, units: int) -> int:
    """The day's count afterwards."""
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(sender_days)
    total = sender_days.c.units + insert.excluded.units
    upsert = insert.values(sender=sender, domain=domain, day=day, units=units)
    upsert = upsert.on_conflict_do_update(index_elements=_KEY, set_={"units": total})
    return connection.execute(upsert.returning(sender_days.c.units)).scalar_one()


def _of(sender: str, domain: str) -> sa.ColumnElement[bool]:
    return sa.and_(sender_days.c.sender == sender, sender_days.c.domain == domain)
