"""What events made stale: days to build, runs to measure, their results and reports.

Noted in the transaction that moves the inbox's cursor, so that nothing between a take-in and the last report can be
forgotten, whatever is killed. A note is gone when what it names was written from data at least as new as the note: who
begins the work remembers which note it saw, and a note that came meanwhile is another one.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import touched


class Kind(StrEnum):
    """What is stale. Each kind follows from those before it."""

    DAY = "day"  # the events of one day
    RUN = "run"  # facts and metrics of one run
    RESULT = "result"  # the A/B result of one run as it stood at the end of one day
    REPORT = "report"  # the report of one run, and the warehouse


class Note(NamedTuple):
    kind: Kind
    key: str  # day, run, or run|day
    noted: str  # which note of this kind and key


class RunDay(NamedTuple):
    run_id: str
    day: str

    @property
    def key(self) -> str:
        return f"{self.run_id}|{self.day}"


def note_events(connection: sa.Connection, days: Collection[str], run_days: Collection[RunDay], at: datetime) -> None:
    """Note all that events make stale: `days` to build, and `run_days`, the days on which each run has some of them."""
    _note(connection, Kind.DAY, sorted(days), at)
    note_runs(connection, sorted({each.run_id for each in run_days}), run_days, at)


def note_runs(connection: sa.Connection, run_ids: Collection[str], run_days: Collection[RunDay], at: datetime) -> None:
    """Note runs to measure, and `run_days`, of which days their results are to be compared anew."""
    _note(connection, Kind.RUN, run_ids, at)
    _note(connection, Kind.RESULT, sorted(each.key for each in run_days), at)
    _note(connection, Kind.REPORT, run_ids, at)


def _note(connection: sa.Connection, kind: Kind, keys: Iterable[str], at: datetime) -> None:
    rows = [{"kind": kind.value, "key": key, "noted": uuid4().hex, "noted_at": at} for key in keys]
    if rows:
        insert = _insert(connection)(touched)
        again = insert.on_conflict_do_update(
            index_elements=[touched.c.kind, touched.c.key], set_={"noted": insert.excluded.noted}
        )
        connection.execute(again, rows)


def notes(engine: sa.Engine) -> list[Note]:
    """All that is stale."""
    query = sa.select(touched.c.kind, touched.c.key, touched.c.noted).order_by(touched.c.kind, touched.c.key)
    with reading(engine) as connection:
        return [Note(Kind(kind), key, noted) for kind, key, noted in connection.execute(query)]


def ready(stale: Collection[Note], days: Collection[str]) -> list[Note]:
    """Those of `stale` that wait for no other, in their order. `days`: which can be built; others hold up nothing."""
    keys = {kind: {note.key for note in stale if note.kind is kind} for kind in Kind}
    to_build = keys[Kind.DAY] & set(days)
    results = {RunDay(*key.split("|")) for key in keys[Kind.RESULT]}
    waiting = {each.run_id for each in results if each.day in to_build}
    unread = waiting | keys[Kind.RUN]
    compared = {each for each in results if each.day in set(days)}
    unpublished = unread | {each.run_id for each in compared}
    able = {
        Kind.DAY: to_build,
        Kind.RUN: keys[Kind.RUN] - waiting,
        Kind.RESULT: {each.key for each in compared if each.run_id not in unread},
        Kind.REPORT: keys[Kind.REPORT] - unpublished,
    }
    return [note for kind in Kind for note in stale if note.kind is kind and note.key in able[kind]]


def done(engine: sa.Engine, note: Note) -> None:
    """What `note` names was written, by work that began when it was there. One that was noted since then stays."""
    with writing(engine) as connection:
        connection.execute(
            sa.delete(touched).where(
                touched.c.kind == note.kind.value, touched.c.key == note.key, touched.c.noted == note.noted
            )
        )


def _insert(connection: sa.Connection) -> Callable[[sa.Table], Any]:
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
