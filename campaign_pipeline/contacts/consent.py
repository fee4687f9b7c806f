"""Consent per contact, channel and purpose: an append-only history whose newest entry counts.

Each entry keeps its evidence, a JSON object. Whoever records says what it knows of:

    said_at       when the contact said it (ISO 8601, UTC), where that is not when it was recorded
    text_version  which wording the contact agreed to
    form          URL or address of the form
    ip            where the request came from
    by            the operator who recorded it
    confirms      the consent_id of the entry whose link was followed (double opt-in)
    import, line  the import and the line of its file
    event_id, run_id, message_id   the event, and the message that it answers
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.bulk import insert_frame
from campaign_pipeline.contacts.queries import PIECE, Query, frame_for_keys, plain_time, stream_frame, stream_plain
from campaign_pipeline.core.progress import progress_of
from campaign_pipeline.core.tables import consents
from campaign_pipeline.core.words import Channel, ConsentState

MARKETING = "marketing"
_STATES = {"contact_id": pl.String, "channel": pl.String, "state": pl.String}


def record_consent(
    connection: sa.Connection,
    contact_id: str,
    channel: Channel,
    state: ConsentState,
    *,
    source: str,
    at: datetime,
    purpose: str = MARKETING,
    evidence: Mapping[str, Any] | None = None,
) -> int:
    """Append what a contact said; `source` is where (import, form, reply ...), `evidence` as above. Its consent_id."""
    row = {"contact_id": contact_id, "channel": channel.value, "purpose": purpose, "state": state.value}
    kept = {"source": source, "evidence": dict(evidence or {}), "recorded_at": at}
    statement = sa.insert(consents).values(row | kept).returning(consents.c.consent_id)
    return connection.execute(statement).scalar_one()


def current_consent(connection: sa.Connection, channel: Channel, purpose: str = MARKETING) -> pl.DataFrame:
    """(contact_id, channel, state: String): the newest state of every contact that ever said something."""
    return stream_frame(connection, _newest(purpose, channel=channel.value), _STATES)


def granted_ids(connection: sa.Connection, channel: Channel, purpose: str = MARKETING) -> pl.Series:
    """Ids of the contacts whose newest entry is granted.

    All entries are read and decided on here: for the database to rank them takes four times as long.
    """
    recorded_at, kind = plain_time(connection, consents.c.recorded_at)
    granted = sa.cast(consents.c.state == ConsentState.GRANTED.value, sa.Integer)  # SQLite knows no Boolean
    query = sa.select(consents.c.contact_id, granted, recorded_at, consents.c.consent_id)
    query = query.where(consents.c.purpose == purpose, consents.c.channel == channel.value)
    schema = {"contact_id": pl.String, "granted": pl.Int8, "recorded_at": kind, "consent_id": pl.Int64}
    entries = stream_plain(connection, query, schema)
    if entries["contact_id"].n_unique() < entries.height:
        entries = entries.sort("recorded_at", "consent_id").unique("contact_id", keep="last", maintain_order=True)
    return entries.filter(pl.col("granted") == 1)["contact_id"]


class GrantedIds:
    """`granted_ids`, read again only when an entry was added or erased since."""

    def __init__(self) -> None:
        self._read: dict[tuple[Channel, str], tuple[object, pl.Series]] = {}

    def __call__(self, connection: sa.Connection, channel: Channel, purpose: str) -> pl.Series:
        entries = sa.select(sa.func.max(consents.c.consent_id), sa.func.count(consents.c.consent_id))
        there = tuple(connection.execute(entries).one())  # before reading: what comes in between is read again
        known, ids = self._read.get((channel, purpose), (None, pl.Series(dtype=pl.String)))
        if known != there:
            ids = granted_ids(connection, channel, purpose)
            self._read[channel, purpose] = there, ids
        return ids


def consent_news(connection: sa.Connection, said: pl.DataFrame, source: str, purpose: str) -> tuple[pl.DataFrame, int]:
    """(those rows of `said` that are news, number of withdrawals kept against it).

    `said` (contact_id, channel, state, line), each contact and channel once. Nothing is news where the state is the
    current one, nor where `source` repeats what it said last: an export that still says "granted" after the contact
    withdrew elsewhere gives no consent back. A source that never spoke of the contact cannot undo a withdrawal either,
    nor stand in for the confirmation of a consent that is pending.
    """
    if connection.execute(sa.select(consents.c.consent_id).limit(1)).first() is None:
        return said, 0
    pieces = [_news(connection, piece, source, purpose) for piece in said.iter_slices(PIECE)]
    news = pl.concat([piece for piece, _ in pieces]) if pieces else said
    return news, sum(held for _, held in pieces)


def record_news(
    connection: sa.Connection, news: pl.DataFrame, *, source: str, purpose: str, import_id: str, at: datetime
) -> None:
    """Append what consent_news found, with the import and the line as evidence."""
    evidence = pl.struct(pl.lit(import_id).alias("import"), "line").struct.json_encode()
    rows = news.select(
        "contact_id",
        "channel",
        pl.lit(purpose).alias("purpose"),
        "state",
        pl.lit(source).alias("source"),
        evidence.alias("evidence"),
        pl.lit(at).alias("recorded_at"),
    )
    insert_frame(connection, consents, rows, progress_of("recording consent"))


def _news(connection: sa.Connection, said: pl.DataFrame, source: str, purpose: str) -> tuple[pl.DataFrame, int]:
    entered = sa.select(consents.c.contact_id, consents.c.channel, consents.c.state, consents.c.source)
    entered = entered.where(consents.c.purpose == purpose).order_by(consents.c.recorded_at, consents.c.consent_id)
    contacts = said["contact_id"].unique(maintain_order=True)
    history = frame_for_keys(connection, entered, consents.c.contact_id, contacts, _STATES | {"source": pl.String})
    for name, entries in (("current", history), ("before", history.filter(pl.col("source") == source))):
        newest = entries.unique(["contact_id", "channel"], keep="last", maintain_order=True)
        states = newest.select("contact_id", "channel", pl.col("state").alias(name))
        said = said.join(states, on=["contact_id", "channel"], how="left", maintain_order="left")
    state, current, before = pl.col("state"), pl.col("current"), pl.col("before")
    not_given = (ConsentState.WITHDRAWN.value, ConsentState.PENDING.value)
    restores = (state == ConsentState.GRANTED.value) & current.is_in(not_given).fill_null(value=False)
    repeats = before.eq_missing(state)
    news = said.filter(current.ne_missing(state) & ~repeats & ~(restores & before.is_null()))
    held = said.filter(restores & (repeats | before.is_null()))
    return news, len(held)


def _newest(purpose: str, *, channel: str | None = None, source: str | None = None) -> Query:
    """Each contact's and channel's newest entry; an equal time is decided by the order of entry."""
    age = sa.func.row_number().over(
        partition_by=(consents.c.contact_id, consents.c.channel),
        order_by=(consents.c.recorded_at.desc(), consents.c.consent_id.desc()),
    )
    chosen = sa.select(consents.c.contact_id, consents.c.channel, consents.c.state, age.label("age"))
    chosen = chosen.where(consents.c.purpose == purpose)
    if channel is not None:
        chosen = chosen.where(consents.c.channel == channel)
    if source is not None:
        chosen = chosen.where(consents.c.source == source)
    entries = chosen.subquery()
    return sa.select(entries.c.contact_id, entries.c.channel, entries.c.state).where(entries.c.age == 1)
