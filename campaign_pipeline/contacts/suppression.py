"""Suppression: addresses that must not be sent to, with the reason and the event or operator behind it.

It follows the address, not the contact. The history is append-only. An entry holds from its time until it expires or
until its reason is lifted, and one that holds is enough: START after STOP lifts the opt-out, never a complaint or a
hard bounce, and a passing soft bounce shortens nothing.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from pydantic import SecretStr

from campaign_pipeline.contacts.addresses import ADDRESS_COLUMN
from campaign_pipeline.contacts.consent import MARKETING
from campaign_pipeline.contacts.queries import stream_frame
from campaign_pipeline.contacts.values import TIME
from campaign_pipeline.core.clock import utc_now
from campaign_pipeline.core.database import insert_new
from campaign_pipeline.core.tables import contacts, suppressions
from campaign_pipeline.core.words import Channel, SuppressionReason

EVERY_CHANNEL: Final = "every"
"""In the place of a channel: the address is not reached by any."""

EVERY_TOPIC: Final = ""
"""In the place of a purpose of consent: the address is not written to about anything."""

ADDRESS_OF = {channel: contacts.c[name] for channel, name in ADDRESS_COLUMN.items()}
"""The column of the address by which a contact is reached."""

_NO_EXPIRY = datetime.max.replace(tzinfo=UTC)
"""Erasures have none: any time is as good."""

SUPPRESSED = {"address": pl.String, "reason": pl.String}


@dataclass(frozen=True)
class Suppression:
    """`address`: normalised e-mail or E.164. `source`: the event's id or the operator's act; a replay has the same.

    `channel`: a Channel, or EVERY_CHANNEL. `recorded_at`: when it was recorded here (not when it happened: a late event
    must count as new). `expires_at`: from when it does not hold any more; None: until it is lifted.
    """

    channel: str
    address: str
    reason: SuppressionReason
    source: str
    recorded_at: datetime
    topic: str = EVERY_TOPIC
    expires_at: datetime | None = None


def suppress(connection: sa.Connection, rows: Sequence[Suppression]) -> int:
    """Suppress the addresses; how many entries were new (one with known channel, topic, address and source is not)."""
    return insert_new(connection, suppressions, [_row(row, active=True) for row in rows])


def lift(connection: sa.Connection, rows: Sequence[Suppression]) -> int:
    """End the suppression of each address for the given channel, topic and reason, and for that reason only.

    Returns how many entries were new.
    """
    return insert_new(connection, suppressions, [_row(row, active=False) for row in rows])


def active_suppressions(
    connection: sa.Connection, channel: Channel, *, topic: str = MARKETING, at: datetime | None = None
) -> pl.DataFrame:
    """(address, reason: String), one row an address, with its newest reason that holds; sorted by address.

    For `topic`, or for all topics; for `channel`, or for every channel. All that is recorded counts, whatever its time:
    the clocks of the machines that record differ. `at` (None: now) decides what has expired. Erased addresses are not
    among them: see suppressed_among.
    """
    held = holding(at or utc_now()).where(concerning(channel, topic)).subquery()
    rank = sa.func.row_number().over(
        partition_by=held.c.address, order_by=(held.c.recorded_at.desc(), held.c.suppression_id.desc())
    )
    ranked = sa.select(held.c.address, held.c.reason, rank.label("rank")).subquery()
    chosen = sa.select(ranked.c.address, ranked.c.reason).where(ranked.c.rank == 1)
    return stream_frame(connection, chosen, SUPPRESSED).sort("address")


def suppressed_among(
    connection: sa.Connection,
    channel: Channel,
    addresses: pl.Series,
    *,
    topic: str = MARKETING,
    at: datetime,
    secret: SecretStr,
) -> pl.DataFrame:
    """active_suppressions, and those of `addresses` that were erased: what the freeze and the late check leave out."""
    held = active_suppressions(connection, channel, topic=topic, at=at)
    return (
        pl.concat([held, erased_among(connection, addresses, secret)]).unique("address", keep="first").sort("address")
    )


def holding(at: datetime, *, hashed: bool = False, recorded_by: datetime | None = None) -> sa.Select[Any]:
    """SELECT of the entries that hold at `at`, as far as they were recorded by `recorded_by` (None: by now)."""
    entry, lifted = suppressions.c, suppressions.alias("lifted")
    same = (entry.channel, entry.topic, entry.address, entry.hashed, entry.reason)
    later = sa.or_(
        lifted.c.recorded_at > entry.recorded_at,
        sa.and_(lifted.c.recorded_at == entry.recorded_at, lifted.c.suppression_id > entry.suppression_id),
    )
    end = sa.select(lifted.c.suppression_id).where(
        sa.not_(lifted.c.active), later, *(lifted.c[column.name] == column for column in same)
    )
    unexpired = sa.or_(entry.expires_at.is_(None), entry.expires_at > at)
    held = sa.select(suppressions).where(entry.active, entry.hashed == sa.literal(hashed), unexpired)
    if recorded_by is not None:
        end = end.where(lifted.c.recorded_at <= recorded_by)
        held = held.where(entry.recorded_at <= recorded_by)
    return held.where(~end.exists())


def concerning(channel: Channel, topic: str) -> sa.ColumnElement[bool]:
    """The entries that concern writing to somebody by `channel` about `topic`."""
    of_channel = suppressions.c.channel.in_((channel.value, EVERY_CHANNEL))
    return sa.and_(of_channel, suppressions.c.topic.in_((topic, EVERY_TOPIC)))


def suppress_erased(
    connection: sa.Connection, channel_addresses: Iterable[tuple[Channel, str]], secret: SecretStr, at: datetime
) -> int:
    """Keep erased addresses from being written to again, on any channel, without keeping them: by a keyed hash.

    How many entries were added. Another `secret` finds none of them again.
    """
    hashes = {erased_hash(comparable(channel, address), secret) for channel, address in channel_addresses}
    common = {"channel": EVERY_CHANNEL, "topic": EVERY_TOPIC, "hashed": True, "active": True, "expires_at": None}
    common |= {"reason": SuppressionReason.ERASED.value, "source": f"erasure:{at.isoformat()}", "recorded_at": at}
    return insert_new(connection, suppressions, [common | {"address": key} for key in sorted(hashes)])


def erased_among(
    connection: sa.Connection, addresses: pl.Series, secret: SecretStr, *, recorded_by: datetime | None = None
) -> pl.DataFrame:
    """(address, reason: String): those of `addresses` (normalised; nulls are passed over) that were erased.

    About 2 us an address, and nothing where nobody was ever erased.
    """
    erased = suppressions.c.channel == EVERY_CHANNEL, suppressions.c.reason == SuppressionReason.ERASED.value
    query = holding(_NO_EXPIRY, hashed=True, recorded_by=recorded_by).where(*erased)
    hashes = set(connection.execute(query.with_only_columns(suppressions.c.address)).scalars())
    if not hashes:
        return pl.DataFrame(schema=SUPPRESSED)
    found = [address for address in addresses.drop_nulls().unique() if erased_hash(address, secret) in hashes]
    return pl.DataFrame({"address": found, "reason": SuppressionReason.ERASED.value}, schema=SUPPRESSED)


def lift_erased(connection: sa.Connection, address: str, secret: SecretStr, *, source: str, at: datetime) -> bool:
    """Let an erased address (normalised) be written to again: its owner asked for it. Whether it was erased."""
    if erased_among(connection, pl.Series([address]), secret).is_empty():
        return False
    row = Suppression(EVERY_CHANNEL, erased_hash(address, secret), SuppressionReason.ERASED, source, at)
    return insert_new(connection, suppressions, [_row(row, active=False) | {"hashed": True}]) == 1


def entries_of(connection: sa.Connection, address: str, at: datetime, secret: SecretStr) -> pl.DataFrame:
    """(channel, topic, reason, source: String; recorded_at, expires_at): what holds for a normalised address."""
    schema = {"channel": pl.String, "topic": pl.String, "reason": pl.String, "source": pl.String}
    times = {"recorded_at": TIME, "expires_at": TIME}
    key = erased_hash(address, secret)
    found = [
        stream_frame(
            connection,
            holding(at, hashed=hashed)
            .with_only_columns(*(suppressions.c[name] for name in schema | times))
            .where(suppressions.c.address == value)
            .order_by(suppressions.c.recorded_at, suppressions.c.suppression_id),
            schema | times,
        )
        for hashed, value in ((False, address), (True, key))
    ]
    return pl.concat(found)


def suppression_counts(connection: sa.Connection, at: datetime) -> pl.DataFrame:
    """(channel, topic, reason: String, addresses: Int64) of what holds at `at`, erased addresses too; sorted."""
    held = sa.union_all(holding(at), holding(at, hashed=True)).subquery()
    by = held.c.channel, held.c.topic, held.c.reason
    query = sa.select(*by, sa.func.count(held.c.address.distinct())).group_by(*by).order_by(*by)
    schema = {"channel": pl.String, "topic": pl.String, "reason": pl.String, "addresses": pl.Int64}
    return stream_frame(connection, query, schema)


def erased_hash(address: str, secret: SecretStr) -> str:
    key = secret.get_secret_value().encode()
    return hmac.digest(key, f"erased:{address}".encode(), sha256).hex()  # says what for: no link's signature fits


def comparable(channel: str, address: str) -> str:
    """The form by which addresses of a channel are compared: providers report e-mail in a case of their own."""
    if channel == Channel.WEBHOOK:
        return address  # an external id is what it is, also where it looks like an e-mail address
    stripped = address.strip()
    return stripped.lower() if channel == Channel.EMAIL or "@" in stripped else stripped


def _row(entry: Suppression, *, active: bool) -> dict[str, Any]:
    address = comparable(entry.channel, entry.address)
    return asdict(entry) | {
        "channel": str(entry.channel),
        "reason": entry.reason.value,
        "address": address,
        "active": active,
        "hashed": False,
    }
