"""Carrying roll-outs on: when the next part of one is due, what is decided, and the run that follows from it.

A decision and the run that it asks for are one transaction, and a part of a roll-out is decided once: whoever comes
second finds the first one's decision. What was decided is read again by the run itself (campaigns/store.Run.part).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.analytics.experiments.rollout import (
    RULE,
    Choice,
    blocked,
    choose_winner,
    figures_of,
    thompson_part,
)
from campaign_pipeline.analytics.experiments.runs import CAMPAIGN_METRICS
from campaign_pipeline.campaigns.rollout import Part, Thompson, Winner, within
from campaign_pipeline.campaigns.store import (
    Run,
    campaign_state,
    load_parts,
    load_run,
    load_runs,
    open_rollouts,
    request_run,
    version_of,
)
from campaign_pipeline.core import ids
from campaign_pipeline.core.database import insert_new, reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound, Refused
from campaign_pipeline.core.tables import rollout_parts, rollout_stops, runs
from campaign_pipeline.core.words import AudienceStatus, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.events.days import build_day
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.events.machines import machine_rules
from campaign_pipeline.events.touched import Kind, notes
from campaign_pipeline.operations.attribution import count_conversions, note_for_measuring, note_new_behaviour
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.results import compare, measure_facts

BY_ROLLOUT = "rollout"
"""Who requested the later parts."""

LOOK_EVERY = timedelta(minutes=10)
"""How often a decision that may come early, or that waits for figures, is looked at again."""

LOWER_IS_BETTER = frozenset(metric.name for metric in CAMPAIGN_METRICS if metric.lower_is_better)

UNFIT = (RunState.CANCELLED, RunState.FAILED)
"""States of the latest part in which nothing is decided: what it brought is not known."""

HELD = (RunState.PAUSED, RunState.CANCELLED)
"""States of a campaign in which nothing of it is requested."""


@dataclass(frozen=True)
class Progress:
    """Where a roll-out is. `next_at`: when its next part is decided at the earliest; None: nothing follows."""

    run: Run
    parts: list[Run]
    next_at: datetime | None
    state: str  # waiting, due, complete, stopped, or what holds it up

    @property
    def next_part(self) -> int:
        return len(self.parts) + 1


def rollouts(installation: Installation, campaign: str | None = None) -> list[Progress]:
    """All roll-outs, newest first."""
    with reading(installation.engine) as connection:
        first_runs = [
            run for run in load_runs(connection, campaign) if run.campaign.rollout is not None and run.part is None
        ]
        return [_progress(connection, run, installation.clock()) for run in first_runs]


def rollout_of(installation: Installation, run_id: str) -> Progress:
    """The roll-out that the run belongs to; NotFound if it is none."""
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
        if run.part:
            run = load_run(connection, run.part.parent_run_id)
        if run.campaign.rollout is None:
            raise NotFound(f"run {run_id!r} is no roll-out", "See those that there are with: campaigns rollouts list")
        return _progress(connection, run, installation.clock())


def due_rollouts(installation: Installation) -> dict[str, datetime]:
    """Roll-outs that may be decided on now: the first run, and since when."""
    with reading(installation.engine) as connection:
        looked_at = [
            _progress(connection, load_run(connection, run_id), installation.clock())
            for run_id in open_rollouts(connection)
        ]
    return {each.run.run_id: each.next_at for each in looked_at if each.next_at and each.state == "due"}


def advance(installation: Installation, run_id: str) -> tuple[Choice, str]:
    """Decide on the next part of the roll-out of `run_id`, if it is due: (what was decided, the run that follows).

    '' for the run: it waits, and the choice says for what. Before, the events that came are taken in, and the facts of
    the runs are measured anew.
    """
    progress = rollout_of(installation, run_id)
    if progress.state != "due":
        return Choice(None, progress.state), ""
    _take_in_events(installation, progress.run)
    goals = [_goal(installation, each.run_id) for each in compared(progress)]
    choice = _choose(installation, progress, goals)
    if choice.weights is None:
        return choice, ""
    figures = {"parts": [figures_of(rows) for rows in goals]}
    try:
        run_id, part = _record(installation, progress, choice.weights, choice.reason, figures, by=BY_ROLLOUT)
    except Refused as error:  # the campaign is paused or cancelled, or the roll-out was stopped just now
        return Choice(None, error.message), ""
    return Choice(part.weights, part.reason), run_id


def decide(installation: Installation, run_id: str, variant: str, *, reason: str, actor: str) -> str:
    """A person decides: all who wait get `variant`; the run that follows.

    Refused where nobody waits any more, and where somebody else decided otherwise a moment before.
    """
    progress = rollout_of(installation, run_id)
    names = list(progress.run.campaign.weights)
    if variant not in names:
        raise InvalidInput(
            f"{variant!r} is no variant of {progress.run.campaign.campaign}", f"It has {', '.join(names)}."
        )
    if progress.state in ("complete", "stopped") or not _is_planned(installation, progress.run.run_id):
        raise Refused(
            f"the roll-out of {run_id} cannot be decided on: it is {progress.state}", "See: campaigns rollouts list"
        )
    follows, part = _record(installation, progress, {variant: 1.0}, reason, {}, by=actor, last=True)
    if part.weights != {variant: 1.0} or part.share[1] < 1:
        raise Refused(
            f"part {part.part_no} of {progress.run.run_id} was decided by {part.decided_by} just now: {follows}",
            "See it with: campaigns rollouts list. Decide again for those who wait after it, if any.",
        )
    return follows


def stop(installation: Installation, run_id: str, *, reason: str, actor: str) -> bool:
    """End the roll-out: whoever waits is not sent to any more. False: it was stopped before."""
    first = rollout_of(installation, run_id).run
    row = {
        "parent_run_id": first.run_id,
        "reason": reason,
        "stopped_by": actor,
        "stopped_at": installation.clock(),
    }
    with writing(installation.engine) as connection:
        ledger.hold_run(connection, first.run_id)  # a decision that is being made is seen, or sees this
        if _progress(connection, first, installation.clock()).state == "complete":
            campaign = first.campaign.campaign
            raise Refused(
                f"all of the roll-out of {first.run_id} is decided: nothing is left to stop",
                f"What is not sent yet is ended with: campaigns cancel {campaign}",
            )
        return bool(insert_new(connection, rollout_stops, [row]))


def waiting_in(installation: Installation, run: Run, share: tuple[float, float]) -> int:
    """How many contacts the first run `run` reserved for a share of its places."""
    reserved = pl.col("status") == AudienceStatus.RESERVED.value
    waiting = installation.lake.scan("audience", run.run_id).filter(reserved).select("contact_id").collect()
    return int(within(run.run_id, share, waiting.get_column("contact_id")).sum())


def is_stopped(connection: sa.Connection, run_id: str) -> bool:
    found = sa.select(rollout_stops.c.parent_run_id).where(rollout_stops.c.parent_run_id == run_id)
    return connection.execute(found).first() is not None


def _progress(connection: sa.Connection, run: Run, now: datetime) -> Progress:
    parts = load_parts(connection, run.run_id)
    rollout = run.campaign.rollout
    assert rollout is not None
    if parts and parts[-1].part and parts[-1].part.share[1] >= 1:
        return Progress(run, parts, None, "complete")
    if is_stopped(connection, run.run_id):
        return Progress(run, parts, None, "stopped")
    latest = parts[-1] if parts else run
    if (state := campaign_state(connection, run.campaign.campaign)) in HELD:
        return Progress(run, parts, None, f"held up: the campaign is {state}")
    if latest.state in UNFIT:
        return Progress(run, parts, None, f"held up: {latest.run_id} is {latest.state}")
    if not ledger.is_planned(connection, latest.run_id):
        return Progress(run, parts, None, f"waiting for {latest.run_id} to be planned")
    at = _earliest(run, latest, rollout)
    return Progress(run, parts, at, "due" if at <= now else "waiting")


def _earliest(run: Run, latest: Run, rollout: Winner | Thompson) -> datetime:
    if isinstance(rollout, Thompson):
        return latest.as_of + rollout.every
    return run.as_of + (LOOK_EVERY if rollout.decide_when == "sequential" else rollout.decide_after)


def compared(progress: Progress) -> list[Run]:
    """The parts in which variants can be compared, the first run before the others."""
    return [progress.run, *(part for part in progress.parts if part.part and part.part.randomised)]


def _take_in_events(installation: Installation, first: Run) -> None:
    """Decide by all that came. The notes of what is stale stay: all else that follows from these events does, too."""
    note_new_behaviour(installation)  # before it is counted here: afterwards nobody would see that figures are behind
    receive(installation.engine, installation.lake, installation.settings)
    rules = machine_rules(installation.settings.machine_rules)
    since, until = (f"{moment:%Y-%m-%d}" for moment in (first.as_of, installation.clock()))
    for note in notes(installation.engine):
        if note.kind is Kind.DAY and since <= note.key <= until:
            build_day(installation.lake, note.key, rules)


def _goal(installation: Installation, run_id: str) -> pl.DataFrame:
    note_for_measuring(installation, count_conversions(installation, run_id).stale)
    measure_facts(installation, run_id)
    return compare(installation, run_id, installation.clock().date()).filter("is_goal")


def _choose(installation: Installation, progress: Progress, goals: list[pl.DataFrame]) -> Choice:
    run, rollout = progress.run, progress.run.campaign.rollout
    if isinstance(rollout, Thompson):
        if why := next(filter(None, map(blocked, goals)), ""):
            return Choice(None, f"{why}: a person decides, or stops it")
        size = waiting_in(installation, run, rollout.shares()[progress.next_part])
        lower = run.campaign.goal in LOWER_IS_BETTER
        return thompson_part(rollout, list(run.campaign.weights), goals, size, lower_is_better=lower)
    assert rollout is not None
    elapsed = installation.clock() - run.as_of
    if goals[0].is_empty():
        control = run.campaign.control
        nobody = "nobody was in the test"
        return Choice({control: 1.0}, f"timeout, and {nobody}") if elapsed >= rollout.timeout else Choice(None, nobody)
    return choose_winner(rollout, goals[0], elapsed)


def _is_planned(installation: Installation, run_id: str) -> bool:
    with reading(installation.engine) as connection:
        return ledger.is_planned(connection, run_id)


def _record(
    installation: Installation,
    progress: Progress,
    weights: Mapping[str, float],
    reason: str,
    figures: Mapping[str, Any],
    *,
    by: str,
    last: bool = False,
) -> tuple[str, Part]:
    """Keep the decision and request its run, once; the run and the decision of whoever was first."""
    parent, rollout = progress.run, progress.run.campaign.rollout
    assert rollout is not None
    share = rollout.shares()[progress.next_part]
    now = installation.clock()
    with writing(installation.engine) as connection:
        ledger.hold_run(connection, parent.run_id)  # one decision at a time
        decided = load_parts(connection, parent.run_id)[progress.next_part - 1 :]
        if decided and (part := decided[0].part):
            return decided[0].run_id, part
        if is_stopped(connection, parent.run_id):
            raise Refused(f"the roll-out of {parent.run_id} was stopped", "Nobody else is sent to.")
        as_of = _free_second(connection, parent.campaign.campaign, now)
        run_id = request_run(
            connection,
            parent.campaign.campaign,
            as_of,
            requested_by=by,
            at=now,
            version=version_of(connection, parent.run_id),
        )
        row = {
            "run_id": run_id,
            "parent_run_id": parent.run_id,
            "part_no": progress.next_part,
            "share_from": share[0],
            "share_to": 1.0 if last else share[1],
            "weights": dict(weights),
            "figures": dict(figures),
            "rule": RULE if by == BY_ROLLOUT else "",
            "reason": reason,
            "decided_by": by,
            "decided_at": now,
        }
        connection.execute(sa.insert(rollout_parts), row)
        part = load_run(connection, run_id).part
    assert part is not None
    return run_id, part


def _free_second(connection: sa.Connection, campaign: str, now: datetime) -> datetime:
    """The first second from now on that no run of the campaign has: a run is named by it.

    Nor is it the beginning of a minute, at which a schedule may ask for a run that is not there yet.
    """
    as_of = now.replace(microsecond=0)
    taken = set(connection.execute(sa.select(runs.c.run_id).where(runs.c.campaign == campaign)).scalars())
    while as_of.second == 0 or ids.run_id(campaign, as_of) in taken:
        as_of += timedelta(seconds=1)
    return as_of
