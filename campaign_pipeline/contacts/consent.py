"""Consent per contact, channel and purpose: an append-only history whose newest entry counts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.queries import KEYS, Query, frame_for_keys, stream_frame
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
) -> None:
    """Append what a contact said; `source` is where (import, form, reply ...), `evidence` is plain JSON."""
    row = {"contact_id": contact_id, "channel": channel.value, "purpose": purpose, "state": state.value}
    kept = {"source": source, "evidence": dict(evidence or {}), "recorded_at": at}
    connection.execute(sa.insert(consents), row | kept)


def current_consent(connection: sa.Connection, channel: Channel, purpose: str = MARKETING) -> pl.DataFrame:
    """(contact_id, channel, state: String): the newest state of every contact that ever said something."""
    return stream_frame(connection, _newest(purpose, channel=channel.value), _STATES)


def record_changes(
    connection: sa.Connection, said: pl.DataFrame, *, source: str, purpose: str, import_id: str, at: datetime
) -> tuple[int, int]:
    """Append what a file says of consent where that is news; (entries added, withdrawals kept).

    `said` (contact_id, channel, state, line), each contact and channel once. Nothing is added where the state is the
    current one, nor where `source` repeats what it said last: an export that still says "granted" after the contact
    withdrew elsewhere gives no consent back. A source that never spoke of the contact cannot undo a withdrawal either.
    """
    added = kept = 0
    first = connection.execute(sa.select(consents.c.consent_id).limit(1)).first() is None
    for piece in said.iter_slices(KEYS):
        news, held = (piece, 0) if first else _news(connection, piece, source, purpose)
        rows = [
            {
                "contact_id": contact_id,
                "channel": channel,
                "purpose": purpose,
                "state": state,
                "source": source,
                "evidence": {"import": import_id, "line": line},
                "recorded_at": at,
            }
            for contact_id, channel, state, line in news.select(*_STATES, "line").iter_rows()
        ]
        if rows:
            connection.execute(sa.insert(consents), rows)
        added, kept = added + len(rows), kept + held
    return added, kept


def _news(connection: sa.Connection, said: pl.DataFrame, source: str, purpose: str) -> tuple[pl.DataFrame, int]:
    contacts = said["contact_id"].unique(maintain_order=True)
    for name, query in (("current", _newest(purpose)), ("before", _newest(purpose, source=source))):
        states = frame_for_keys(connection, query, query.selected_columns.contact_id, contacts, _STATES)
        said = said.join(states.rename({"state": name}), on=["contact_id", "channel"], how="left")
    state, current, before = pl.col("state"), pl.col("current"), pl.col("before")
    restores = (state == ConsentState.GRANTED.value) & current.eq_missing(pl.lit(ConsentState.WITHDRAWN.value))
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
