"""Whom a worker must not write to, looked at before each claim and read again only when something changed."""

import threading
from collections.abc import Callable, Collection
from typing import Any

import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.tables import consents, suppressions


class Watch:
    """`read` gives the addresses; it is called again when a suppression or a consent was recorded since."""

    def __init__(self, engine: sa.Engine, read: Callable[[], Collection[str]]) -> None:
        self._engine, self._read = engine, read
        self._lock = threading.Lock()
        self._newest: Any = None
        self._addresses: Collection[str] = ()

    def __call__(self) -> Collection[str]:
        with self._lock:
            newest = self._look()
            if newest != self._newest:
                self._addresses = self._read()
                self._newest = newest  # looked up before reading: what comes in between is read once more, not missed
            return self._addresses

    def _look(self) -> tuple[Any, ...]:
        query = sa.select(
            sa.select(sa.func.max(suppressions.c.suppression_id)).scalar_subquery(),
            sa.select(sa.func.max(consents.c.consent_id)).scalar_subquery(),
        )
        with reading(self._engine) as connection:
            return tuple(connection.execute(query).one())
