"""Messages in doubt, over the runs of a campaign: asked about, decided, listed."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.life_cycle import move_campaign, reopen_run, run_state
from campaign_pipeline.campaigns.store import Run, campaign_state, load_campaign, load_runs
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.ids import parse_run_id
from campaign_pipeline.core.tables import batch_outcomes, outcomes, runs
from campaign_pipeline.core.words import Channel, Outcome, RunState
from campaign_pipeline.dispatch import ledger, reconcile
from campaign_pipeline.dispatch.account import RunAccount
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels import open_channel, provider_of
from campaign_pipeline.dispatch.decide import Decided, decide
from campaign_pipeline.dispatch.doubts import Rules, doubts_of, next_look, read_doubts, read_lookups, resolved_in
from campaign_pipeline.dispatch.ledger import Source
from campaign_pipeline.operations.installation import Installation

Unwanted = Callable[[Channel], Collection[str]]
"""The addresses that must not be sent to on a channel, now."""

AT_REST = frozenset({RunState.COMPLETED, RunState.CANCELLED, RunState.FAILED, RunState.PAUSED})
"""States of a run in which nothing but its doubts is taken up by itself."""


@dataclass(frozen=True)
class Settlement:
    """What one look at a run's doubts did, in messages."""

    doubts: int = 0  # there were so many
    asked: int = 0  # of which so many were due to be asked about
    found: int = 0  # and the provider shows so many
    decided: Decided = field(default_factory=Decided)

    @property
    def changed(self) -> int:
        """Messages that are no longer where they were."""
        return self.found + self.decided.given_up + self.decided.sent_again


class Provider(NamedTuple):
    name: str
    can_be_asked: bool


@dataclass(frozen=True)
class RunDoubts:
    """The doubts of one run as they are now. No personal data."""

    run: Run
    providers: dict[str, Provider]  # by channel
    rules: Rules
    doubts: pl.DataFrame  # doubts.DOUBTS, those left unknown among them
    resolved: pl.DataFrame  # how (String), messages (UInt32): what was resolved, by what


def rules_of(installation: Installation, run: Run) -> Rules:
    """What the campaign, its state and the settings say of the run's doubts; `asks` is left to who opens a channel."""
    with reading(installation.engine) as connection:
        state = campaign_state(connection, run.campaign.campaign)
    return Rules(
        settling=timedelta(seconds=installation.settings.settling_seconds),
        window=run.campaign.doubt_window,
        never_lose=run.campaign.on_doubt == "never_lose",
        until=run.deadline,
        held=RunState.PAUSED in (state, run.state),
        ended=RunState.CANCELLED in (state, run.state),
        channel=run.campaign.channel.value,
    )


def settle_doubts(installation: Installation, run: Run, unwanted: Unwanted = lambda _channel: ()) -> Settlement:
    """Ask about the doubts that are due, and decide those whose window is over. `unwanted`: see reconcile."""
    engine, lake, now, rules = installation.engine, installation.lake, installation.clock(), rules_of(installation, run)
    with reading(engine) as connection:
        if not ledger.is_planned(connection, run.run_id):
            return Settlement()
    doubts = read_doubts(engine, lake, run.run_id, now, rules)
    asked = found = 0
    asks: set[str] = set()
    for name in sorted(doubts.get_column("channel").unique()):
        with open_channel(Channel(name), installation.settings) as channel:
            settled = reconcile.settle_doubts(
                engine, lake, run.run_id, channel, now, rules, partial(unwanted, Channel(name))
            )
            asks |= {name} if rules.may_ask(channel.capabilities, now) else set()
        asked, found = asked + settled.asked, found + settled.found
    if not doubts.height:
        return Settlement()
    repeats = repeated_by_policy(installation, run.run_id)
    decided = decide(engine, lake, run.run_id, now, rules.asking(asks), repeats)
    return Settlement(doubts.height, asked, found, decided)


def note_next_look(
    installation: Installation, run: Run, settled: RunAccount, standby_until: datetime | None = None
) -> None:
    """Write down when the run is looked at again: for its doubts, for what stands by, or before for what it sends."""
    look = next_look_of(installation, run) if settled.in_doubt or settled.in_flight else None
    moments = [look, standby_until if standby_until and standby_until > installation.clock() else None]
    with writing(installation.engine) as connection:
        query = sa.select(runs.c.state, runs.c.next_wave_at).where(runs.c.run_id == run.run_id)
        state, wave = connection.execute(query).one()
        if state == RunState.RUNNING and settled.pending:
            if wave is None:
                return  # no date: as soon as may be
            moments.append(wave)
        if state in (RunState.RUNNING, *AT_REST):
            first = min((moment for moment in moments if moment), default=None)
            connection.execute(sa.update(runs).where(runs.c.run_id == run.run_id).values(next_wave_at=first))


def next_look_of(installation: Installation, run: Run) -> datetime | None:
    """When something is to be done about the run's doubts, or what is in flight becomes one."""
    engine, lake, now, rules = installation.engine, installation.lake, installation.clock(), rules_of(installation, run)
    doubts = read_doubts(engine, lake, run.run_id, now, rules)
    asks = [
        name for name in doubts.get_column("channel").unique() if provider_now(installation, name, rules).can_be_asked
    ]
    return next_look(engine, lake, run.run_id, now, rules.asking(asks))


def runs_to_look_at(installation: Installation) -> dict[str, datetime]:
    """Runs at rest with doubts that are due to be looked at, and since when."""
    query = sa.select(runs.c.run_id, runs.c.next_wave_at).where(
        runs.c.state.in_([state.value for state in AT_REST]), runs.c.next_wave_at <= installation.clock()
    )
    with reading(installation.engine) as connection:
        return {row.run_id: row.next_wave_at for row in connection.execute(query.order_by(runs.c.run_id))}


def go_on(connection: sa.Connection, run_id: str, *, actor: str, at: datetime, reason: str) -> bool:
    """Let a completed run go on, because something of it may be sent again, and its campaign with it.

    False, and nothing done, while the campaign is paused or if it was cancelled.
    """
    if run_state(connection, run_id) != RunState.COMPLETED:
        connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(next_wave_at=None))  # soon
        return True
    campaign = parse_run_id(run_id)[0]
    state = campaign_state(connection, campaign)
    if state in (RunState.PAUSED, RunState.CANCELLED):
        return False
    reopen_run(connection, run_id, actor=actor, at=at, reason=reason)
    if state == RunState.COMPLETED:
        move_campaign(connection, campaign, RunState.RUNNING, actor=actor, at=at, reason=reason)
    return True


def repeated_by_policy(installation: Installation, run_id: str) -> Callable[[sa.Connection], bool]:
    """As decide wants it: see go_on."""
    reason, now = "messages in doubt are sent once more", installation.clock()
    return lambda connection: go_on(connection, run_id, actor="dispatch", at=now, reason=reason)


def list_doubts(installation: Installation, campaign: str, run_id: str | None = None) -> list[RunDoubts]:
    """Of each planned run of the campaign that has or had doubts, newest first; of one run if it is named.

    NotFound for a campaign, or a run of it, that does not exist.
    """
    listed = (doubts_in(installation, run) for run in planned_runs(installation, campaign, run_id))
    return [one for one in listed if one.doubts.height or one.resolved.height]


def doubts_in(installation: Installation, run: Run) -> RunDoubts:
    """The doubts of a planned run as they are now."""
    index = BatchFile(installation.lake, run.run_id).index()
    with reading(installation.engine) as connection:
        held, asked = ledger.read_ledger(connection, run.run_id), read_lookups(connection, run.run_id)
    now, rules = installation.clock(), rules_of(installation, run)
    doubts = doubts_of(index, held, asked, now, rules, given_up=True)
    providers = {name: provider_now(installation, name, rules) for name in doubts.get_column("channel").unique().sort()}
    rules = rules.asking(name for name, provider in providers.items() if provider.can_be_asked)
    doubts = doubts_of(index, held, asked, now, rules, given_up=True)
    return RunDoubts(run, providers, rules, doubts, resolved_in(held))


def has_doubts(installation: Installation, run_id: str) -> bool:
    """Whether the run has messages in doubt, or had some that were resolved or given up."""
    told = outcomes.c.source != Source.SEND.value
    doubtful = outcomes.c.outcome == Outcome.IN_DOUBT.value
    whole = sa.select(batch_outcomes.c.run_id).where(
        batch_outcomes.c.run_id == run_id, batch_outcomes.c.outcome == Outcome.IN_DOUBT.value
    )
    with reading(installation.engine) as connection:
        said = sa.select(outcomes.c.run_id).where(outcomes.c.run_id == run_id, sa.or_(told, doubtful)).limit(1)
        return any(connection.execute(query).first() is not None for query in (said, whole.limit(1)))


def planned_runs(installation: Installation, campaign: str, run_id: str | None = None) -> list[Run]:
    """The campaign's runs whose messages are planned, newest first; or the one that is named."""
    with reading(installation.engine) as connection:
        load_campaign(connection, campaign)
        found = [run for run in load_runs(connection, campaign) if run_id in (None, run.run_id)]
        if run_id and not found:
            raise NotFound(f"{run_id} is not a run of {campaign}", f"See its runs with: campaigns status {campaign}")
        return [run for run in found if ledger.is_planned(connection, run.run_id)]


def provider_now(installation: Installation, channel: str, rules: Rules) -> Provider:
    """Whom the channel sends through, and whether it can be asked about doubts now."""
    name, settings = Channel(channel), installation.settings
    try:
        can_be_asked = rules.may_ask(open_channel(name, settings).capabilities, installation.clock())
    except Refused:  # live sending is off, and the provider is not the sandbox
        can_be_asked = False
    return Provider(provider_of(name, settings), can_be_asked)
