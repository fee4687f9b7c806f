"""When contacts last wrote to us on WhatsApp: for a day after that, free text may go to them.

Only numbers whose window is open are kept, and none that was erased.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.dialects import postgresql, sqlite

from campaign_pipeline.contacts.suppression import comparable, erased_among
from campaign_pipeline.core.tables import conversations
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.guards.session import SESSION
from campaign_pipeline.events.event import Event


def note_conversations(connection: sa.Connection, events: Sequence[Event], now: datetime, secret: SecretStr) -> None:
    """Keep the newest inbound message of each number, in whatever order they come; forget windows that are closed."""
    newest: dict[str, datetime] = {}
    for event in events:
        if event.raw_type == "inbound" and event.channel is Channel.WHATSAPP:
            address = comparable(event.channel, event.address)
            newest[address] = max(event.occurred_at, newest.get(address, event.occurred_at))
    erased = set(erased_among(connection, pl.Series(list(newest), dtype=pl.String), secret)["address"])
    rows = [
        {"channel": Channel.WHATSAPP.value, "address": address, "last_inbound_at": at}
        for address, at in sorted(newest.items())
        if address not in erased
    ]
    if rows:
        insert = _insert(connection)(conversations)
        known, new = conversations.c.last_inbound_at, insert.excluded.last_inbound_at
        later = insert.on_conflict_do_update(
            index_elements=[conversations.c.channel, conversations.c.address],
            set_={"last_inbound_at": new},
            where=known < new,
        )
        connection.execute(later, rows)
    connection.execute(sa.delete(conversations).where(conversations.c.last_inbound_at <= now - SESSION))


def _insert(connection: sa.Connection) -> Callable[[sa.Table], Any]:
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
