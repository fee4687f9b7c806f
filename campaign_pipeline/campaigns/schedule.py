"""Which runs are due: a pure function of definitions, what has run, and the time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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

BY_SCHEDULE = "schedule"
"""Who requested a run that its campaign's schedule asked for."""

MOST_CAUGHT_UP = 50
"""Of more occurrences that were missed, the newest are caught up with."""


@dataclass(frozen=True)
class Due:
    campaign: str
    as_of: datetime


@dataclass(frozen=True)
class LeftOut:
    """Missed occurrences that do not become runs: those from `since` to `last`, which is one."""

    campaign: str
    since: datetime
    last: datetime
    why: str

    def __str__(self) -> str:
        span = f"{self.since:%Y-%m-%dT%H:%MZ} to {self.last:%Y-%m-%dT%H:%MZ}"
        return f"{self.campaign}: occurrences that were missed from {span} are left out: {self.why}"


@dataclass
class DueRuns:
    """What the schedules ask for: by campaign, and of each the oldest first."""

    due: list[Due] = field(default_factory=list[Due])
    left_out: list[LeftOut] = field(default_factory=list[LeftOut])


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
        case Cron() as cron:
            moment = _newest(cron, now)
    return moment if applied.newest <= moment <= now else None


def caught_up(
    campaign: Campaign, applied: Applied, last_run: datetime | None, now: datetime
) -> tuple[list[datetime], LeftOut | None]:
    """Every occurrence since the definition was applied and after `last_run`, not after `now`; and what is left out.

    Oldest first. Left out are those that could not be sent any more, and all but the newest MOST_CAUGHT_UP.
    """
    assert isinstance(campaign.schedule, Cron)
    since = max(applied.newest, last_run + timedelta(seconds=1)) if last_run else applied.newest
    found: list[datetime] = []
    for moment in _back(campaign.schedule, now):
        if moment < since:
            break
        if campaign.send_before and moment + campaign.send_before < now:
            return found[::-1], LeftOut(campaign.campaign, since, moment, "their send_before has passed")
        if len(found) == MOST_CAUGHT_UP:
            why = f"there are more than {MOST_CAUGHT_UP}"
            return found[::-1], LeftOut(campaign.campaign, since, moment, why)
        found.append(moment)
    return found[::-1], None


def _back(cron: Cron, now: datetime) -> Iterator[datetime]:
    """Occurrences, from the newest that is not after `now` back in time."""
    while True:
        moment = _newest(cron, now)
        yield moment
        now = moment - timedelta(seconds=1)


def _newest(cron: Cron, now: datetime) -> datetime:
    local = now.astimezone(ZoneInfo(cron.timezone)).replace(second=0, microsecond=0)
    moment = local if croniter.match(cron.cron, local) else croniter(cron.cron, local).get_prev(datetime)
    # An hour that clocks put back repeat is one hour: at its second time nothing is due again.
    return moment.replace(fold=0).astimezone(UTC)


def due_runs(connection: sa.Connection, now: datetime) -> DueRuns:
    """The runs that the schedules ask for and that do not exist yet."""
    states = {row.campaign: RunState(row.state) for row in connection.execute(sa.select(campaigns))}
    known = set(connection.execute(sa.select(runs.c.run_id)).scalars())
    found = DueRuns()
    for name, campaign in load_campaigns(connection).items():
        if states[name] not in STANDING:
            continue
        applied = _applied(connection, name)
        if isinstance(campaign.schedule, Cron) and campaign.schedule.missed == "catch_up":
            moments, left_out = caught_up(campaign, applied, _last_run(connection, name), now)
            found.left_out += [left_out] if left_out else []
        else:
            newest = occurrence(campaign, applied, now)
            moments = [newest] if newest else []
        found.due += [Due(name, moment) for moment in moments if ids.run_id(name, moment) not in known]
    return found


def _last_run(connection: sa.Connection, campaign: str) -> datetime | None:
    """The newest time for which the schedule asked for a run."""
    by_schedule = (runs.c.campaign == campaign, runs.c.requested_by == BY_SCHEDULE)
    return connection.execute(sa.select(sa.func.max(runs.c.as_of)).where(*by_schedule)).scalar()


def _applied(connection: sa.Connection, campaign: str) -> Applied:
    versions = campaign_versions
    query = sa.select(versions).where(versions.c.campaign == campaign).order_by(versions.c.version)
    rows = connection.execute(query).all()
    said_now = [row.applied_at for row in rows if row.definition.get("schedule") == "now"]
    return Applied(rows[-1].applied_at, said_now[0] if said_now else None)
