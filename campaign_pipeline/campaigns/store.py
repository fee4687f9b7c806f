"""Campaigns and runs in the operational database."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.experiments_policy import ExperimentsPolicy
from campaign_pipeline.campaigns.life_cycle import move_campaign
from campaign_pipeline.campaigns.rollout import Part
from campaign_pipeline.campaigns.sending_policy import SendingPolicy
from campaign_pipeline.core import ids
from campaign_pipeline.core.database import insert_new
from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.tables import (
    campaign_versions,
    campaigns,
    rollout_parts,
    rollout_stops,
    runs,
    sending_versions,
)
from campaign_pipeline.core.versions import Change, apply_version, newest_version, newest_versions, version
from campaign_pipeline.core.words import RunState

POLICY, EXPERIMENTS = "sending", "experiments"
"""The team's policies: their names in the table."""


@dataclass(frozen=True)
class Run:
    """One execution of a campaign, with the definition it was requested with."""

    run_id: str
    as_of: datetime
    state: RunState
    reason: str
    requested_by: str
    created_at: datetime
    finished_at: datetime | None
    campaign: Campaign
    part: Part | None = None  # of the roll-out of another run

    @property
    def weights(self) -> dict[str, float]:
        """Each variant's share of those who are sent to; the shares add up to 1. Variants without any are left out."""
        weights = self.part.weights if self.part else self.campaign.weights
        return {name: weights[name] for name in self.campaign.weights if weights.get(name)}

    @property
    def deadline(self) -> datetime | None:
        """After this moment nothing of the run goes out any more; a part's counts from the run that froze everybody."""
        begun = ids.parse_run_id(self.part.parent_run_id)[1] if self.part else self.as_of
        return begun + self.campaign.send_before if self.campaign.send_before else None


def apply_campaign(connection: sa.Connection, campaign: Campaign, at: datetime) -> Change:
    """Keep the definition as a version, if it is new or changed; a schedule makes it scheduled."""
    # Without what is not given: a field that a later version of the product adds makes no new version of the campaign.
    definition = campaign.model_dump(mode="json", exclude_none=True)
    change, applied = apply_version(connection, campaign_versions, campaign.campaign, definition, at)
    resting = RunState.SCHEDULED if campaign.schedule else RunState.DRAFT
    if change == "new":
        values = {"campaign": campaign.campaign, "version": 1, "state": resting, "updated_at": at}
        connection.execute(sa.insert(campaigns).values(values))
    elif change == "changed":
        connection.execute(
            sa.update(campaigns)
            .where(campaigns.c.campaign == campaign.campaign)
            .values(version=applied.version, updated_at=at)
        )
        if campaign_state(connection, campaign.campaign) in (RunState.DRAFT, RunState.SCHEDULED):
            move_campaign(connection, campaign.campaign, resting, actor="apply", at=at)
    return change


def load_campaign(connection: sa.Connection, name: str) -> Campaign:
    """The newest version of campaign `name`."""
    return Campaign.model_validate(newest_version(connection, campaign_versions, name).definition)


def load_campaigns(connection: sa.Connection) -> dict[str, Campaign]:
    return {
        name: Campaign.model_validate(newest.definition)
        for name, newest in newest_versions(connection, campaign_versions).items()
    }


def apply_sending_policy(connection: sa.Connection, policy: SendingPolicy, at: datetime) -> Change:
    """Keep the policy as a version, if it is new or changed: the newest is in force."""
    definition = policy.model_dump(mode="json", exclude_none=True)
    return apply_version(connection, sending_versions, POLICY, definition, at)[0]


def load_sending_policy(connection: sa.Connection) -> SendingPolicy:
    """The policy in force; an empty one if none was applied."""
    newest = newest_versions(connection, sending_versions).get(POLICY)
    return SendingPolicy.model_validate(newest.definition) if newest else SendingPolicy()


def apply_experiments_policy(connection: sa.Connection, policy: ExperimentsPolicy, at: datetime) -> Change:
    """As apply_sending_policy."""
    definition = policy.model_dump(mode="json", exclude_none=True)
    return apply_version(connection, sending_versions, EXPERIMENTS, definition, at)[0]


def load_experiments_policy(connection: sa.Connection) -> ExperimentsPolicy:
    """The policy in force; one without holdout and layers if none was applied."""
    newest = newest_versions(connection, sending_versions).get(EXPERIMENTS)
    return ExperimentsPolicy.model_validate(newest.definition) if newest else ExperimentsPolicy()


def campaign_state(connection: sa.Connection, name: str) -> RunState:
    state = connection.execute(sa.select(campaigns.c.state).where(campaigns.c.campaign == name)).scalar_one_or_none()
    if state is None:
        raise NotFound(f"campaign {name!r} does not exist", "Load definitions with: campaigns apply DIR")
    return RunState(state)


def request_run(
    connection: sa.Connection,
    name: str,
    as_of: datetime,
    *,
    requested_by: str,
    at: datetime,
    version: int | None = None,
) -> str:
    """The id of the campaign's run at `as_of`, which is created if it is not there: asking twice is one run.

    `version`: of the campaign; None: the newest.
    """
    newest = newest_version(connection, campaign_versions, name)
    run_id = ids.run_id(name, as_of)
    state = campaign_state(connection, name)
    found = connection.execute(sa.select(runs.c.state).where(runs.c.run_id == run_id)).scalar_one_or_none()
    if state in (RunState.CANCELLED, RunState.PAUSED) and found in (None, RunState.FAILED):
        raise Refused(
            f"campaign {name!r} is {state}", f"Resume it first: campaigns resume {name}" * (state == "paused")
        )
    row = {
        "run_id": run_id,
        "campaign": name,
        "version": newest.version if version is None else version,
        "as_of": as_of,
        "state": RunState.SCHEDULED,
        "requested_by": requested_by,
        "created_at": at,
    }
    insert_new(connection, runs, [row])
    return run_id


def load_run(connection: sa.Connection, run_id: str) -> Run:
    row = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one_or_none()
    if row is None:
        raise NotFound(f"run {run_id!r} does not exist", "See the runs with: campaigns status")
    return _run(connection, row)


def load_runs(connection: sa.Connection, campaign: str | None = None) -> list[Run]:
    """All runs, or those of one campaign, newest first."""
    query = sa.select(runs).order_by(runs.c.as_of.desc(), runs.c.run_id)
    if campaign:
        query = query.where(runs.c.campaign == campaign)
    return [_run(connection, row) for row in connection.execute(query).all()]


def version_of(connection: sa.Connection, run_id: str) -> int:
    """Of the campaign, by which the run goes."""
    return connection.execute(sa.select(runs.c.version).where(runs.c.run_id == run_id)).scalar_one()


def load_parts(connection: sa.Connection, parent_run_id: str) -> list[Run]:
    """The later parts of the run's roll-out, in their order."""
    query = (
        sa.select(runs)
        .join(rollout_parts, rollout_parts.c.run_id == runs.c.run_id)
        .where(rollout_parts.c.parent_run_id == parent_run_id)
        .order_by(rollout_parts.c.part_no)
    )
    return [_run(connection, row) for row in connection.execute(query).all()]


def open_rollouts(connection: sa.Connection) -> list[str]:
    """First runs of roll-outs of which a part may follow, oldest first; one query, however many there were."""
    parts, definition = rollout_parts, campaign_versions.c.definition
    of_version = (campaign_versions.c.campaign == runs.c.campaign) & (campaign_versions.c.version == runs.c.version)
    complete = sa.exists().where(parts.c.parent_run_id == runs.c.run_id, parts.c.share_to >= 1)
    query = (
        sa.select(runs.c.run_id)
        .join(campaign_versions, of_version)
        .join(campaigns, campaigns.c.campaign == runs.c.campaign)
        .where(
            definition["rollout"]["method"].as_string().is_not(None),
            campaigns.c.state != RunState.CANCELLED,
            ~sa.exists().where(parts.c.run_id == runs.c.run_id),
            ~sa.exists().where(rollout_stops.c.parent_run_id == runs.c.run_id),
            ~complete,
        )
        .order_by(runs.c.as_of, runs.c.run_id)
    )
    return list(connection.execute(query).scalars())


def _part(connection: sa.Connection, run_id: str) -> Part | None:
    row = connection.execute(sa.select(rollout_parts).where(rollout_parts.c.run_id == run_id)).one_or_none()
    if row is None:
        return None
    return Part(
        parent_run_id=row.parent_run_id,
        part_no=row.part_no,
        share=(row.share_from, row.share_to),
        weights=row.weights,
        reason=row.reason,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
    )


def load_runs_between(connection: sa.Connection, first: datetime, last: datetime) -> list[Run]:
    """The runs as of `first` to `last`, both included, in order of time."""
    query = sa.select(runs).where(runs.c.as_of.between(first, last)).order_by(runs.c.as_of, runs.c.run_id)
    return [_run(connection, row) for row in connection.execute(query).all()]


def _run(connection: sa.Connection, row: sa.Row[tuple[object, ...]]) -> Run:
    definition = version(connection, campaign_versions, row.campaign, row.version).definition
    campaign = Campaign.model_validate(definition)
    return Run(
        run_id=row.run_id,
        as_of=row.as_of,
        state=RunState(row.state),
        reason=row.reason,
        requested_by=row.requested_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
        campaign=campaign,
        part=_part(connection, row.run_id) if campaign.rollout else None,
    )
