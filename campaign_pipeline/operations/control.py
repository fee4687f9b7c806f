"""What an operator does to a campaign: pause, resume, cancel. Each takes effect at the next claim."""

from campaign_pipeline.campaigns.life_cycle import ENDED, move_campaign, move_run
from campaign_pipeline.campaigns.store import campaign_state, load_campaign, load_runs
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.words import RunState
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.sending import end_messages


def pause(installation: Installation, campaign: str, *, actor: str, reason: str = "") -> list[str]:
    """Hold the campaign and its active runs; the runs that were paused."""
    return _move(installation, campaign, RunState.PAUSED, actor, reason)


def cancel(installation: Installation, campaign: str, *, actor: str, reason: str = "") -> list[str]:
    """End the campaign and its active runs for good; what was not sent is written down as cancelled."""
    cancelled = _move(installation, campaign, RunState.CANCELLED, actor, reason)
    for run_id in cancelled:
        end_messages(installation, run_id, worker_name=f"cancelled by {actor}")
    return cancelled


def resume(installation: Installation, campaign: str, *, actor: str) -> list[str]:
    """Let a paused campaign go on; its paused runs wait to be picked up again."""
    with writing(installation.engine) as connection:
        now = installation.clock()
        state = campaign_state(connection, campaign)
        if state != RunState.PAUSED:
            raise Refused(f"campaign {campaign!r} is {state}, not paused")
        paused = [run.run_id for run in load_runs(connection, campaign) if run.state == RunState.PAUSED]
        for run_id in paused:
            move_run(connection, run_id, RunState.SCHEDULED, actor=actor, at=now)
        waits = bool(paused) or load_campaign(connection, campaign).schedule is not None
        move_campaign(connection, campaign, RunState.SCHEDULED, actor=actor, at=now)
        if not waits:
            move_campaign(connection, campaign, RunState.DRAFT, actor=actor, at=now)
        return paused


def _move(installation: Installation, campaign: str, to: RunState, actor: str, reason: str) -> list[str]:
    with writing(installation.engine) as connection:
        now = installation.clock()
        move_campaign(connection, campaign, to, actor=actor, at=now, reason=reason)
        active = [run for run in load_runs(connection, campaign) if run.state not in ENDED]
        if to == RunState.PAUSED:  # a failed run is not paused: it is not going on
            active = [run for run in active if run.state != RunState.FAILED]
        for run in active:
            move_run(connection, run.run_id, to, actor=actor, at=now, reason=reason)
        return [run.run_id for run in active]
