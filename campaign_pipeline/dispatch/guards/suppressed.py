"""Whom a worker must not write to, looked at before each claim and read again only when something changed."""

import threading
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from campaign_pipeline.contacts.suppression import comparable
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.tables import consents, suppressions
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch.channels.base import Batch
from campaign_pipeline.dispatch.guards.base import Guard, LeftOut, Permit

_NEWEST = sa.select(  # made once: asked before each claim
    sa.select(sa.func.max(suppressions.c.suppression_id)).scalar_subquery(),
    sa.select(sa.func.max(consents.c.consent_id)).scalar_subquery(),
)


class NotSuppressed(Guard):
    """`read` gives the addresses; it is called again when a suppression or a consent was recorded since."""

    def __init__(self, engine: sa.Engine, channel: Channel, read: Callable[[], Collection[str]]) -> None:
        self._engine, self._channel, self._read = engine, channel, read
        self._lock = threading.Lock()
        self._newest: Any = None
        self._addresses: Collection[str] = ()

    def look(self, batch: Batch, now: datetime) -> Permit:
        addresses = self._current()
        if not addresses:
            return Permit()
        found = (
            LeftOut(number, Outcome.SUPPRESSED, "suppressed")
            for number, address in zip(batch.numbers, batch.column("address"), strict=True)
            if address in addresses or comparable(self._channel, address) in addresses
        )
        return Permit(left_out=tuple(found))

    def _current(self) -> Collection[str]:
        with self._lock:
            newest = self._look()
            if newest != self._newest:
                self._addresses = self._read()
                self._newest = newest  # looked up before reading: what comes in between is read once more, not missed
            return self._addresses

    def _look(self) -> tuple[Any, ...]:
        with reading(self._engine) as connection:
            return tuple(connection.execute(_NEWEST).one())
