"""Frequency caps at the last moment: nobody gets one message too many, whoever else is claiming right now.

Who is over is found, and who is sent to is written down, in the claim's own transaction; two such transactions never
overlap. On SQLite no two writers do; on PostgreSQL they queue for a lock that the end of the transaction gives back.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from campaign_pipeline.campaigns.caps import at_cap
from campaign_pipeline.campaigns.sending_policy import Cap
from campaign_pipeline.core.tables import contacted
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch.channels.base import Batch, Message
from campaign_pipeline.dispatch.guards.base import Guard, LeftOut

CODE = "frequency_cap"

LOCK = 0x63617073
"""Any number that is no other lock's; of PostgreSQL's advisory locks."""

_COLUMNS = "contact_id, run_id, message_no, batch_no, attempt, channel, purpose, at"
_AGAIN = "ON CONFLICT (contact_id, run_id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in ("message_no", "batch_no", "attempt", "channel", "at")
)
_SQLITE = f"INSERT INTO contacted ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) {_AGAIN}"
_POSTGRES = (
    f"INSERT INTO contacted ({_COLUMNS}) SELECT contact_id, %s, message_no, %s, %s, %s, %s, %s::timestamptz "
    f"FROM unnest(%s::text[], %s::int[]) AS sent (contact_id, message_no) {_AGAIN}"
)
"""An attempt after the first, and a fallback, take the place of the run's row: the contact gets one of them."""


class UnderCaps(Guard):
    """`caps`: those that count messages of this channel and purpose (campaigns.caps.applying)."""

    def __init__(self, caps: Sequence[Cap], channel: Channel, purpose: str) -> None:
        self._caps, self._channel, self._purpose = caps, channel, purpose

    def within(self, connection: sa.Connection, batch: Batch, now: datetime) -> Sequence[LeftOut]:
        messages = [message for message in batch.messages if message.contact_id]
        if not messages:
            return ()
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        ids = [message.contact_id for message in messages]
        over = at_cap(connection, self._caps, now, among=ids, but_run=batch.run_id)
        self._write(connection, batch, [message for message in messages if message.contact_id not in over], now)
        return [LeftOut(m.message_no, Outcome.SUPPRESSED, CODE) for m in messages if m.contact_id in over]

    def _write(self, connection: sa.Connection, batch: Batch, messages: Sequence[Message], now: datetime) -> None:
        """Straight to the driver, as the ledger does it."""
        if not messages:
            return
        names = self._channel.value, self._purpose
        if connection.dialect.name == "postgresql":
            sent = [m.contact_id for m in messages], [m.message_no for m in messages]
            values = batch.run_id, batch.batch_no, batch.attempt, *names, now, *sent
            connection.exec_driver_sql(_POSTGRES, values)
            return
        to_text = contacted.c.at.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
        assert to_text is not None, "SQLite stores times as text"
        run_id, rest = batch.run_id, (batch.batch_no, batch.attempt, *names, to_text(now))
        rows = [(message.contact_id, run_id, message.message_no, *rest) for message in messages]
        connection.exec_driver_sql(_SQLITE, rows)
