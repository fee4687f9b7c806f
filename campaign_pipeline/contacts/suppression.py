"""Suppression: addresses that must not be sent to, with the reason and the event or operator behind it.

It follows the address, not the contact. The history is append-only; of each address and reason the newest entry
counts, and one active reason is enough: START after STOP lifts the opt-out, never a complaint or a hard bounce.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.queries import stream_frame
from campaign_pipeline.core.database import insert_new
from campaign_pipeline.core.tables import suppressions
from campaign_pipeline.core.words import Channel, SuppressionReason

SUPPRESSED = {"address": pl.String, "reason": pl.String}


@dataclass(frozen=True)
class Suppression:
    """`address`: normalised e-mail or E.164. `source`: the event's id or the operator's act; a replay has the same.

    `recorded_at`: when it was recorded here (not when it happened: a late event must count as new).
    """

    channel: Channel
    address: str
    reason: SuppressionReason
    source: str
    recorded_at: datetime


def suppress(connection: sa.Connection, rows: Sequence[Suppression]) -> int:
    """Suppress the addresses; how many entries were new (one with a known channel, address and source is not)."""
    return insert_new(connection, suppressions, [_row(row, active=True) for row in rows])


def lift(connection: sa.Connection, rows: Sequence[Suppression]) -> int:
    """End the suppression of each address for the given reason, and for that reason only; how many were new."""
    return insert_new(connection, suppressions, [_row(row, active=False) for row in rows])


def active_suppressions(connection: sa.Connection, channel: Channel) -> pl.DataFrame:
    """(address, reason: String), one row an address, with its newest active reason; sorted by address."""
    table = suppressions.c
    newest_first = (table.recorded_at.desc(), table.suppression_id.desc())
    age = sa.func.row_number().over(partition_by=(table.address, table.reason), order_by=newest_first)
    of_channel = table.channel == channel.value
    entries = sa.select(suppressions, age.label("age")).where(of_channel).subquery()
    current = sa.select(entries).where(entries.c.age == 1, entries.c.active)
    reasons = current.subquery()
    rank = sa.func.row_number().over(
        partition_by=reasons.c.address,
        order_by=(reasons.c.recorded_at.desc(), reasons.c.suppression_id.desc()),
    )
    ranked = sa.select(reasons.c.address, reasons.c.reason, rank.label("rank")).subquery()
    chosen = sa.select(ranked.c.address, ranked.c.reason).where(ranked.c.rank == 1)
    return stream_frame(connection, chosen, SUPPRESSED).sort("address")


def comparable(channel: Channel, address: str) -> str:
    """The form by which addresses of a channel are compared: providers report e-mail in a case of their own."""
    stripped = address.strip()
    return stripped.lower() if channel is Channel.EMAIL else stripped


def _row(entry: Suppression, *, active: bool) -> dict[str, Any]:
    address = comparable(entry.channel, entry.address)
    return asdict(entry) | {
        "channel": entry.channel.value,
        "reason": entry.reason.value,
        "address": address,
        "active": active,
    }
