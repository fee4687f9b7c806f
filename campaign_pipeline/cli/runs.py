"""Running and operating campaigns: `run`, `status`, `pause`, `resume`, `cancel`."""

from typing import Annotated

import typer

from campaign_pipeline.campaigns.life_cycle import ENDED, move_run, run_state
from campaign_pipeline.campaigns.store import load_campaign, request_run
from campaign_pipeline.cli.arguments import AsOf, moment, operator
from campaign_pipeline.cli.output import AsJson, console, progress_bar, show_json, show_table
from campaign_pipeline.cli.run_tables import show_runs, watch_runs
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import Halted, InvalidInput
from campaign_pipeline.core.words import RunState
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.operations import control
from campaign_pipeline.operations.rollouts import rollout_of
from campaign_pipeline.operations.rollouts_shown import next_of
from campaign_pipeline.operations.senders import held_back_run
from campaign_pipeline.operations.sending import work_on, worker_name
from campaign_pipeline.operations.status import campaigns_overview, runs_overview

Reason = Annotated[str, typer.Option(help="Why; it is kept with the change.")]


def run(
    campaign: str,
    as_of: AsOf = None,
    wait: Annotated[bool, typer.Option("--wait", help="Run it here through Dagster, and wait for the end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a campaign. Without --wait it is queued for Dagster (make dev); asking twice for one time is one run.

    Example: campaigns run spring-sale --as-of 2026-03-02T09:00:00Z --wait
    """
    installation = open_installation()
    now = installation.clock()
    with writing(installation.engine) as connection:
        is_rolled_out = load_campaign(connection, campaign).rollout is not None
        run_id = request_run(connection, campaign, moment(as_of, now), requested_by="cli", at=now)
        state = run_state(connection, run_id)
        if state == RunState.FAILED:  # asking again is how a failed run is taken up
            move_run(connection, run_id, RunState.SCHEDULED, actor=operator(), at=now)
            state = RunState.SCHEDULED
    if state in ENDED:
        if not as_json:
            console.print(f"{run_id} is {state}: nothing is left to send.")
    elif wait:
        from campaign_pipeline.defs.launch import dagster_instance, run_and_wait

        with progress_bar(hidden=as_json), dagster_instance() as instance:
            run_and_wait(installation, instance, run_id)
    elif not as_json:
        queued = " Dagster picks it up (make dev); to run it here: --wait" if state == RunState.SCHEDULED else ""
        console.print(f"{run_id} is {state}.{queued}")
    found = account(installation.engine, installation.lake, run_id) if wait or state in ENDED else None
    rollout = rollout_of(installation, run_id) if wait and is_rolled_out else None
    held = held_back_run(installation, run_id) if state not in ENDED and (found is None or found.pending) else None
    if as_json:
        what = {"account": found.counts()} if found else {"state": state}
        follows = {"rollout": {"state": rollout.state, "next_at": rollout.next_at}} if rollout else {}
        show_json({"run": run_id, **what, **follows, **({"held_back": held.why} if held else {})})
    elif found:
        show_table(run_id, [found.counts()])
    if rollout and not as_json:
        console.print(next_of(rollout), markup=False)
    if held and not as_json:
        console.print(f"It waits: {held.why}.\n  {held.hint}", markup=False)
    if held and held.is_halted and wait:
        raise typer.Exit(Halted.exit_code)


def work(
    run_id: Annotated[str, typer.Argument(help="The run, as in: campaigns status CAMPAIGN")],
    as_json: AsJson = False,
) -> None:
    """Help to send a run that is planned: one more worker, on any machine that reaches its database and lake.

    Example: campaigns work spring-sale--20260302t090000z
    """
    installation = open_installation()
    with progress_bar(hidden=as_json):
        sent = work_on(installation, run_id, worker_name=worker_name())
    if as_json:
        outcomes = {str(outcome): count for outcome, count in sent.outcomes.items()}
        show_json({"run": run_id, "outcomes": outcomes, "left": sent.left, "next_at": sent.next_at})
    else:
        later = f" until {sent.next_at:%Y-%m-%d %H:%M} UTC" if sent.next_at else ""
        console.print(f"{run_id}: {sent}{later}")


def status(
    campaign: Annotated[str | None, typer.Argument(help="One campaign's runs; all campaigns if left out.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it every 2 seconds, until no run goes on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show where campaigns are; with a name, each of its runs, what became of its messages, and how fast it goes.

    Example: campaigns status spring-sale
    """
    installation = open_installation()
    if campaign and watch:
        watch_runs(installation, campaign, as_json=as_json)
        return
    if watch:
        raise InvalidInput("--watch is about one campaign", "Name it: campaigns status CAMPAIGN --watch")
    rows = runs_overview(installation, campaign) if campaign else campaigns_overview(installation).to_dicts()
    if as_json:
        show_json(rows)
    elif rows and campaign:
        show_runs(campaign, rows)
    elif rows:
        show_table("campaigns", rows)
    else:
        console.print("No run yet." if campaign else "No campaign yet. Load some: campaigns apply data/definitions")


def pause(campaign: str, reason: Reason = "", as_json: AsJson = False) -> None:
    """Hold a campaign: nothing more is claimed until it is resumed.

    Example: campaigns pause spring-sale --reason "wrong price in the subject"
    """
    _say("paused", control.pause(open_installation(), campaign, actor=operator(), reason=reason), as_json)


def resume(campaign: str, as_json: AsJson = False) -> None:
    """Let a paused campaign go on.

    Example: campaigns resume spring-sale
    """
    _say("scheduled", control.resume(open_installation(), campaign, actor=operator()), as_json)


def cancel(campaign: str, reason: Reason = "", as_json: AsJson = False) -> None:
    """End a campaign for good: what was not sent never will be.

    Example: campaigns cancel spring-sale --reason "event called off"
    """
    _say("cancelled", control.cancel(open_installation(), campaign, actor=operator(), reason=reason), as_json)


def _say(state: str, runs: list[str], as_json: bool) -> None:
    if as_json:
        show_json({"state": state, "runs": runs})
    else:
        console.print(f"The campaign is {state}; runs: {', '.join(runs) or 'none was active'}.")


def register(app: typer.Typer) -> None:
    for command in (run, work, status, pause, resume, cancel):
        app.command()(command)
