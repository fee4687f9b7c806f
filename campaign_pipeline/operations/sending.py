"""Sending a planned run, settling it, and ending it: what the dispatch asset, workers and commands call."""

import os
import secrets
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns import caps
from campaign_pipeline.campaigns.definition import Cron
from campaign_pipeline.campaigns.life_cycle import UNDER_WAY, move_campaign, move_run, run_state
from campaign_pipeline.campaigns.sender_policy import BreakerPolicy
from campaign_pipeline.campaigns.store import Run, campaign_state, load_run, load_runs, load_sending_policy
from campaign_pipeline.contacts.consent import MARKETING
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.progress import progress_of
from campaign_pipeline.core.tables import runs
from campaign_pipeline.core.words import Channel, Outcome, RunState
from campaign_pipeline.dispatch import fallbacks, ledger, worker
from campaign_pipeline.dispatch.account import RunAccount, account
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels import open_channel, provider_of, sender_of
from campaign_pipeline.dispatch.guards.base import Guard
from campaign_pipeline.dispatch.guards.breaker import Breakers
from campaign_pipeline.dispatch.guards.caps import UnderCaps
from campaign_pipeline.dispatch.guards.pace import Paced
from campaign_pipeline.dispatch.guards.quiet_hours import InQuietHours
from campaign_pipeline.dispatch.guards.session import InSession
from campaign_pipeline.dispatch.guards.suppressed import NotSuppressed
from campaign_pipeline.dispatch.guards.us_marketing import NoMarketingToUs
from campaign_pipeline.operations.doubts import Settlement, note_next_look, repeated_by_policy, settle_doubts
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.reach import consented_for, suppressed_for
from campaign_pipeline.operations.seeds import send_seeds


def send_channel(installation: Installation, run_id: str, channel: Channel, *, worker_name: str) -> worker.Sent:
    """Send what of the run is due and not sent yet; its seeds first, so that what a provider refuses halts it there."""
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
    tracks_clicks = run.campaign.track_clicks == "provider"
    with open_channel(channel, installation.settings, tracks_clicks=tracks_clicks) as opened:
        of_sender = sender_guards(installation, channel, worker_name)
        send_seeds(
            installation,
            run,
            opened,
            worker_name=worker_name,
            guards=of_sender,
            stopped=lambda: _stopped(installation, run_id),
        )
        sent = worker.send_due(
            installation.engine,
            installation.lake,
            run_id,
            opened,
            worker=worker_name,
            clock=installation.clock,
            deadline=run.deadline,
            guards=[*guards_of(installation, run, channel), *of_sender],
            stopped=lambda: _stopped(installation, run_id),
            progress=progress_of("sent"),
            senders=installation.settings.dispatch_requests,
        )
    _note_next_wave(installation, run_id, sent.next_at)
    return sent


def work_on(installation: Installation, run_id: str, *, worker_name: str) -> worker.Sent:
    """Send what is due of a run that is planned and under way, on all its channels. Refused if there is nothing to do.

    Any number of processes may do so at once; whoever comes first claims.
    """
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
        planned = ledger.is_planned(connection, run_id)
    if run.state != RunState.RUNNING or not planned:
        what = f"is {run.state}" if run.state != RunState.RUNNING else "has no messages yet"
        raise Refused(f"{run_id} {what}: there is nothing to send", f"See: campaigns status {run.campaign.campaign}")
    parts = [send_channel(installation, run_id, channel, worker_name=worker_name) for channel, _ in run.campaign.steps]
    return replace(parts[-1], outcomes=sum((part.outcomes for part in parts), Counter[Outcome]()))


def worker_name() -> str:
    """Names this process in the ledger: host, process, and something that no other has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def guards_of(installation: Installation, run: Run, channel: Channel) -> Sequence[Guard]:
    """What is asked before each claim, in this order: those that only look, then those that reserve."""
    return [
        InQuietHours(
            installation.engine, run.run_id, keeps=_keeps_quiet(installation, run, channel), deadline=run.deadline
        ),
        NotSuppressed(installation.engine, channel, _NotToBeSentTo(installation, run, channel)),
        *_whatsapp_guards(installation, run, channel),
        *_cap_guards(installation, run, channel),
    ]


def _whatsapp_guards(installation: Installation, run: Run, channel: Channel) -> Sequence[Guard]:
    if channel is not Channel.WHATSAPP:
        return []
    marketing = [NoMarketingToUs()] if run.campaign.purpose == MARKETING else []
    return [*marketing, InSession(installation.engine)]


def _cap_guards(installation: Installation, run: Run, channel: Channel) -> Sequence[Guard]:
    """None unless a cap counts such messages: then nothing is written about them either."""
    purpose = run.campaign.purpose
    with reading(installation.engine) as connection:
        applying = caps.applying(load_sending_policy(connection).caps, channel, purpose)
    return [UnderCaps(applying, channel, purpose)] if applying else []


def _keeps_quiet(installation: Installation, run: Run, channel: Channel) -> bool:
    """Whether the run keeps quiet hours on the channel, as the team has it now."""
    with reading(installation.engine) as connection:
        policy = load_sending_policy(connection)
    return run.campaign.quiet_hours == "respect" and channel in policy.quiet_hours.channels


def sender_guards(installation: Installation, channel: Channel, worker_name: str) -> Sequence[Guard]:
    """What is asked of the channel's sender before each claim, by the policy in force: all runs share it."""
    with reading(installation.engine) as connection:
        policy = load_sending_policy(connection).sender(channel)
    sender = sender_of(channel, installation.settings)
    breaker = policy.breaker if policy else BreakerPolicy()
    return [
        Breakers(
            installation.engine, channel, provider_of(channel, installation.settings), sender, worker_name, breaker
        ),
        Paced(installation.engine, sender, policy),
    ]


class _NotToBeSentTo:
    """Gives the addresses that were suppressed, or whose contact's consent was withdrawn, since the freeze."""

    def __init__(self, installation: Installation, run: Run, channel: Channel) -> None:
        self._installation, self._run, self._channel = installation, run, channel
        # An erasure replaces addresses in the lake, but not in the messages that a worker has loaded: both count.
        self._frozen = self._read()

    def __call__(self) -> set[str]:
        audience = pl.concat([self._frozen, self._read()])
        with reading(self._installation.engine) as connection:
            suppressed = suppressed_for(
                connection, self._installation, self._run, audience.get_column("address"), self._channel
            )
            consented = consented_for(connection, self._installation, self._channel, self._run.campaign.purpose)
        withdrawn = audience.filter(~pl.col("contact_id").is_in(consented.implode())).get_column("address")
        return set(suppressed.get_column("address")) | set(withdrawn.drop_nulls())

    def _read(self) -> pl.DataFrame:
        rows = BatchFile(self._installation.lake, self._run.run_id).index(["contact_id", "address", "channel"])
        return rows.filter(pl.col("channel").fill_null(self._run.campaign.channel) == self._channel).drop("channel")


def end_messages(installation: Installation, run_id: str, *, worker_name: str) -> None:
    """Write down what was not sent of a cancelled run as cancelled: the worker does so, and sends nothing."""
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
        planned = ledger.is_planned(connection, run_id)
    if planned and run.state == RunState.CANCELLED:
        send_channel(installation, run_id, run.campaign.channel, worker_name=worker_name)
        note_next_look(installation, run, account(installation.engine, installation.lake, run_id))


def settle_run(installation: Installation, run_id: str) -> RunAccount:
    """Resolve doubts, compare ledger and plan (Inconsistent on any difference), and end the run if nothing is left.

    Doubts do not keep a run from being completed: they are looked at again when they are due. A completed run goes on
    if something of it may be sent again.
    """
    settled, _ = settle(installation, run_id)
    return settled


def settle(installation: Installation, run_id: str) -> tuple[RunAccount, Settlement]:
    """As settle_run, and what was done about doubts."""
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
    settlement = settle_doubts(installation, run, lambda channel: _NotToBeSentTo(installation, run, channel)())
    until = run.as_of + run.campaign.fallback_within
    fallbacks.advance(installation.engine, installation.lake, run_id, now=installation.clock(), until=until)
    settling = timedelta(seconds=installation.settings.settling_seconds)
    settled = account(installation.engine, installation.lake, run_id, installation.clock(), settling)
    if settled.pending and settled.state == RunState.COMPLETED:  # an answer came long after the run had ended
        with writing(installation.engine) as connection:
            if run_state(connection, run_id) == RunState.COMPLETED:  # one that goes on keeps its next wave
                repeated_by_policy(installation, run_id)(connection)
    elif not settled.pending and not settled.in_flight and not settled.standby:
        _complete(installation, run)
    # What stands by is ended then, or called for by an event before.
    note_next_look(installation, run, settled, until if settled.standby else None)
    return account(installation.engine, installation.lake, run_id, installation.clock(), settling), settlement


def _complete(installation: Installation, run: Run) -> None:
    with writing(installation.engine) as connection:
        if run_state(connection, run.run_id) == RunState.RUNNING:
            now = installation.clock()
            move_run(connection, run.run_id, RunState.COMPLETED, actor="dispatch", at=now)
            caps.forget(connection, load_sending_policy(connection).caps, now)
            _complete_campaign(connection, run, now)


def _complete_campaign(connection: sa.Connection, run: Run, now: datetime) -> None:
    """After its run ended, unless another one goes on, or the campaign is held, ended or has failed."""
    name = run.campaign.campaign
    going_on = any(other.state in UNDER_WAY for other in load_runs(connection, name))
    if campaign_state(connection, name) == RunState.RUNNING and not going_on:
        move_campaign(connection, name, RunState.COMPLETED, actor="dispatch", at=now)
        if isinstance(run.campaign.schedule, Cron):
            move_campaign(connection, name, RunState.SCHEDULED, actor="dispatch", at=now)


def _note_next_wave(installation: Installation, run_id: str, moment: datetime | None) -> None:
    """When the run is taken up again, if something of it is left; None: as soon as may be.

    Of what several workers and channels say the earliest counts, as long as it has not come.
    """
    known = sa.select(runs.c.next_wave_at).where(runs.c.run_id == run_id)
    with writing(installation.engine) as connection:
        before = connection.execute(known).scalar_one()
        if moment and before and installation.clock() < before < moment:
            return
        connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(next_wave_at=moment))


def _stopped(installation: Installation, run_id: str) -> RunState | None:
    """PAUSED or CANCELLED if an operator said so: what a worker asks before each claim."""
    with reading(installation.engine) as connection:
        state = run_state(connection, run_id)
    return state if state in (RunState.PAUSED, RunState.CANCELLED) else None
