"""The life of a campaign and of its runs: one table of transitions for both, every change recorded.

draft --> scheduled --> running --> completed
             ^  |        |  ^ \\--> failed --> running (again: takes up what is left)
             |  v        v  |
             |  paused <----'        any of them --> cancelled
             '-- completed (a campaign that recurs)

A run that is cancelled stays so, and so does one that is completed, unless a message in doubt is to be sent once more
(reopen_run). A campaign can have several runs, so its own state says less: it may be a draft, completed or failed while
a run of it waits, and can be held, ended, or fail, all the same.
"""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.tables import campaigns, runs, state_changes
from campaign_pipeline.core.words import RunState

S = RunState

TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    S.DRAFT: frozenset({S.SCHEDULED, S.RUNNING, S.PAUSED, S.CANCELLED, S.FAILED}),
    S.SCHEDULED: frozenset({S.DRAFT, S.RUNNING, S.PAUSED, S.CANCELLED, S.FAILED}),
    S.RUNNING: frozenset({S.PAUSED, S.COMPLETED, S.CANCELLED, S.FAILED}),
    S.PAUSED: frozenset({S.SCHEDULED, S.RUNNING, S.CANCELLED}),
    S.COMPLETED: frozenset({S.SCHEDULED, S.RUNNING, S.PAUSED, S.CANCELLED, S.FAILED}),  # a campaign; a run stays so
    S.CANCELLED: frozenset(),
    S.FAILED: frozenset({S.SCHEDULED, S.RUNNING, S.PAUSED, S.CANCELLED}),
}

UNDER_WAY = frozenset({S.SCHEDULED, S.RUNNING, S.PAUSED})
"""States of a run that goes on, or will."""

ENDED = frozenset({S.COMPLETED, S.CANCELLED})
"""States in which nothing of a run is left to be sent."""


def move_campaign(
    connection: sa.Connection, campaign: str, to: RunState, *, actor: str, at: datetime, reason: str = ""
) -> None:
    _move(connection, campaigns, campaign, to, actor, reason, at, {"updated_at": at})


def move_run(
    connection: sa.Connection, run_id: str, to: RunState, *, actor: str, at: datetime, reason: str = ""
) -> None:
    finished = {"finished_at": at} if to in ENDED else {}
    # What is in flight when a run is stopped may be in doubt: it is looked at soon.
    next_wave_at = at if to in (S.PAUSED, S.CANCELLED, S.FAILED) else None
    _move(connection, runs, run_id, to, actor, reason, at, {"reason": reason, "next_wave_at": next_wave_at, **finished})


def reopen_run(connection: sa.Connection, run_id: str, *, actor: str, at: datetime, reason: str) -> None:
    """Let a completed run go on, because something of it may be sent once more. Refused for one that was cancelled."""
    also = {"reason": "", "finished_at": None, "next_wave_at": None}
    _move(connection, runs, run_id, S.RUNNING, actor, reason, at, also, final=frozenset({S.CANCELLED}))


_STATE_OF_RUN = sa.select(runs.c.state).where(runs.c.run_id == sa.bindparam("run_id"))  # made once: asked all the time


def run_state(connection: sa.Connection, run_id: str) -> RunState:
    state = connection.execute(_STATE_OF_RUN, {"run_id": run_id}).scalar_one_or_none()
    if state is None:
        raise NotFound(f"run {run_id!r} does not exist", "See the runs with: campaigns status")
    return RunState(state)


def _move(
    connection: sa.Connection,
    table: sa.Table,
    key: str,
    to: RunState,
    actor: str,
    reason: str,
    at: datetime,
    also: Mapping[str, object],
    final: frozenset[RunState] = ENDED,
) -> None:
    column = table.c[0]
    found = connection.execute(sa.select(table.c.state).where(column == key)).scalar_one_or_none()
    if found is None:
        raise NotFound(f"{column.name} {key!r} does not exist", "See what there is with: campaigns status")
    current = RunState(found)
    if current == to:
        return
    possible = frozenset[RunState]() if table is runs and current in final else TRANSITIONS[current]
    if to not in possible:
        allowed = ", ".join(sorted(possible)) or "nothing: it has ended"
        raise Refused(f"{key} is {current} and cannot become {to}", f"From {current} it can become: {allowed}.")
    # The state is in the condition: of two who move it at once, one finds it changed.
    moved = connection.execute(sa.update(table).where(column == key, table.c.state == current).values(state=to, **also))
    if moved.rowcount != 1:
        raise Refused(f"{key} was changed by somebody else just now", "Look at its status and try again.")
    connection.execute(
        sa.insert(state_changes).values(
            subject=key, from_state=current, to_state=to, actor=actor, reason=reason, changed_at=at
        )
    )
