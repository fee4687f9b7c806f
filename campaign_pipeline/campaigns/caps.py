"""Frequency caps: whom the team wrote to often enough lately, counted over all campaigns.

The table `contacted` has a row for each message that was claimed while a cap holds. A row counts unless the ledger says
that its message was certainly not processed; in doubt it counts. Nothing of this reads more than the longest cap.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from campaign_pipeline.campaigns.sending_policy import Cap
from campaign_pipeline.core.tables import batch_outcomes, contacted, outcomes
from campaign_pipeline.core.words import Channel, Outcome

CAPPED: dict[str, Any] = {"contact_id": pl.String, "reason": pl.String}

NOT_PROCESSED = frozenset(
    {
        *(Outcome.REJECTED, Outcome.NOT_SENT, Outcome.THROTTLED, Outcome.SUPPRESSED),
        *(Outcome.EXPIRED, Outcome.CANCELLED, Outcome.NOT_NEEDED),
    }
)
"""Outcomes after which the contact certainly did not get the message by that attempt."""

NEVER_LOSE = "never_lose"
"""As dispatch.ledger writes it, which is a later stage."""

_UNITS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))


def applying(caps: Sequence[Cap], channel: Channel, purpose: str) -> tuple[Cap, ...]:
    """Those of `caps` by which a message of this channel and purpose counts."""
    return tuple(
        cap for cap in caps if cap.channel in (None, channel) and (not cap.purposes or purpose in cap.purposes)
    )


def says(cap: Cap) -> str:
    """Such as `3 within 7d`, `2 sms within 24h for news`."""
    unit, length = next(unit for unit in _UNITS if not cap.within % unit[1])
    channel = f" {cap.channel}" if cap.channel else ""
    purposes = f" for {', '.join(cap.purposes)}" if cap.purposes else ""
    return f"{cap.at_most}{channel} within {cap.within // length}{unit}{purposes}"


def at_cap(
    connection: sa.Connection,
    caps: Sequence[Cap],
    now: datetime,
    *,
    among: Collection[str] | None = None,
    but_run: str = "",
) -> Mapping[str, Cap]:
    """contact_id -> the first of `caps` that allows no further message at `now`; of the contacts `among`, or of all.

    Messages of the run `but_run` are not counted. A message counts for just as long as its cap says: a message at noon
    is out of `within: 24h` at noon of the next day. What other clocks wrote into the future counts.
    """
    if not caps:
        return {}
    dialect = connection.dialect.name
    since = {f"since_{n}": now - cap.within for n, cap in enumerate(caps)}
    of_some = {} if among is None else {"ids": list(among) if dialect == "postgresql" else json.dumps(list(among))}
    statement = _counted(tuple(caps), dialect, bool(of_some))
    rows = connection.execute(statement, since | of_some | {"oldest": _oldest(caps, now), "but_run": but_run})
    return {
        contact_id: next(cap for cap, count in zip(caps, counts, strict=True) if count >= cap.at_most)
        for contact_id, *counts in rows
    }


def capped(connection: sa.Connection, caps: Sequence[Cap], now: datetime, *, but_run: str = "") -> pl.DataFrame:
    """(contact_id, reason): all contacts who are `at_cap`, as campaigns.audience takes them."""
    found = at_cap(connection, caps, now, but_run=but_run)
    reasons = {cap: says(cap) for cap in set(found.values())}
    return pl.DataFrame({"contact_id": list(found), "reason": [reasons[cap] for cap in found.values()]}, schema=CAPPED)


def forget(connection: sa.Connection, caps: Sequence[Cap], now: datetime) -> int:
    """Delete the rows that no cap counts any more; how many. Without caps nothing is deleted."""
    if not caps:
        return 0
    return connection.execute(sa.delete(contacted).where(contacted.c.at <= _oldest(caps, now))).rowcount


def _oldest(caps: Sequence[Cap], now: datetime) -> datetime:
    return now - max(cap.within for cap in caps)


@lru_cache(maxsize=64)  # a claim asks just as the claim before it did: to put this together takes longer than to ask
def _counted(caps: tuple[Cap, ...], dialect: str, of_some: bool) -> sa.Select[Any]:
    """(contact_id, how many messages count by each of `caps`) of the contacts who are at one of them.

    First whoever has enough rows, which is quick and finds few; only of these is looked up what the ledger says.
    Parameters: since_0, since_1 ... by cap; oldest of them; but_run; and ids, if it is about some contacts only.
    """
    counts = [sa.func.sum(sa.case((_counts_by(cap, n), 1), else_=0)) for n, cap in enumerate(caps)]
    at_one = sa.or_(*(count >= cap.at_most for cap, count in zip(caps, counts, strict=True)))
    recent = sa.and_(contacted.c.at > sa.bindparam("oldest"), contacted.c.run_id != sa.bindparam("but_run"))
    near = sa.select(contacted.c.contact_id).where(recent).group_by(contacted.c.contact_id).having(at_one)
    if of_some:
        near = near.where(_is_one_of_ids(dialect))
    return (
        sa.select(contacted.c.contact_id, *counts)
        .where(contacted.c.contact_id.in_(near), recent, sa.not_(_certainly_not_processed()))
        .group_by(contacted.c.contact_id)
        .having(at_one)
    )


def _counts_by(cap: Cap, number: int) -> sa.ColumnElement[bool]:
    conditions = [contacted.c.at > sa.bindparam(f"since_{number}")]
    if cap.channel:
        conditions.append(contacted.c.channel == cap.channel.value)
    if cap.purposes:
        conditions.append(contacted.c.purpose.in_(cap.purposes))
    return sa.and_(*conditions)


def _is_one_of_ids(dialect: str) -> sa.ColumnElement[bool]:
    """All ids in one parameter, so that the statement is the same for any number of them."""
    if dialect == "postgresql":
        return contacted.c.contact_id == sa.any_(sa.bindparam("ids", type_=postgresql.ARRAY(sa.String)))
    each = sa.func.json_each(sa.bindparam("ids", type_=sa.String)).table_valued("value")
    return contacted.c.contact_id.in_(sa.select(each.c.value))


def _certainly_not_processed() -> sa.ColumnElement[bool]:
    """Of the row of `contacted`: the last attempt says so, of the message or of its batch, and no attempt objects.

    Proof that it was processed objects, and never_lose: that knows nothing, and lets a message in doubt go once more.
    """
    own, of_batch, objecting = outcomes.alias("own"), batch_outcomes.alias("of_batch"), outcomes.alias("objecting")
    at_attempt = sa.and_(
        own.c.run_id == contacted.c.run_id,
        own.c.message_no == contacted.c.message_no,
        own.c.attempt == contacted.c.attempt,
    )
    batch_attempt = sa.and_(
        of_batch.c.run_id == contacted.c.run_id,
        of_batch.c.batch_no == contacted.c.batch_no,
        of_batch.c.attempt == contacted.c.attempt,
    )
    objects = sa.and_(
        objecting.c.run_id == contacted.c.run_id,
        objecting.c.message_no == contacted.c.message_no,
        sa.or_(objecting.c.outcome == Outcome.ACCEPTED.value, objecting.c.code == NEVER_LOSE),
    )
    refused = sorted(outcome.value for outcome in NOT_PROCESSED)
    return sa.and_(
        sa.or_(
            sa.exists().where(at_attempt, own.c.outcome.in_(refused)),
            sa.and_(
                sa.exists().where(batch_attempt, of_batch.c.outcome.in_(refused)),
                sa.not_(sa.exists().where(at_attempt)),
            ),
        ),
        sa.not_(sa.exists().where(objects)),
    )
