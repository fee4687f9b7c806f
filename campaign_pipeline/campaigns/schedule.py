"""Which runs are due: a pure function of definitions, what has run, and the time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from croniter import croniter

from campaign_pipeline.campaigns.definition import At, Campaign, Cron
from campaign_pipeline.campaigns.store import load_campaigns
from campaign_pipeline.core import ids
from campaign_pipeline.core.tables import campaign_versions, campaigns, runs
from campaign_pipeline.core.words import RunState

STANDING = frozenset({RunState.SCHEDULED, RunState.RUNNING, RunState.COMPLETED, RunState.FAILED})
"""States of a campaign in which its schedule counts; not draft, paused or cancelled."""


@dataclass(frozen=True)
class Due:
    campaign: str
    as_of: datetime


@dataclass(frozen=True)
class Applied:
    """When the version that holds now was applied, and when the first one with the schedule `now` was, if any."""

    newest: datetime
    first_now: datetime | None = None


def occurrence(campaign: Campaign, applied: Applied, now: datetime) -> datetime | None:
    """The newest moment, not after `now`, at which the schedule says to run; None if there is none.

    A moment before the definition was applied never counts: loading an old file must not send.
    """
    match campaign.schedule:
        case None:
            return None
        case "now":
            first = applied.first_now  # once, however often the file is changed
            return first.replace(microsecond=0) if first and first <= now else None
        case At(at=at):
            moment = at
        case Cron(cron=cron, timezone=timezone):
            local = now.astimezone(ZoneInfo(timezone)).replace(second=0, microsecond=0)
            moment = local if croniter.match(cron, local) else croniter(cron, local).get_prev(datetime)
            # An hour that clocks put back repeat is one hour: at its second time nothing is due again.
            moment = moment.replace(fold=0).astimezone(UTC)
    return moment if applied.newest <= moment <= now else None


def due_runs(connection: sa.Connection, now: datetime) -> list[Due]:
    """The runs that the schedules ask for and that do not exist yet."""
    states = {row.campaign: RunState(row.state) for row in connection.execute(sa.select(campaigns))}
    known = set(connection.execute(sa.select(runs.c.run_id)).scalars())
    due: list[Due] = []
    for name, campaign in load_campaigns(connection).items():
        as_of = occurrence(campaign, _applied(connection, name), now)
        if as_of is not None and states[name] in STANDING and ids.run_id(name, as_of) not in known:
            due.append(Due(name, as_of))
    return due


def _applied(connection: sa.Connection, campaign: str) -> Applied:
    versions = campaign_versions
    query = sa.select(versions).where(versions.c.campaign == campaign).order_by(versions.c.version)
    rows = connection.execute(query).all()
    said_now = [row.applied_at for row in rows if row.definition.get("schedule") == "now"]
    return Applied(rows[-1].applied_at, said_now[0] if said_now else None)
