"""Roll-outs: `rollouts list|show|advance|decide|stop`."""

from typing import Annotated, Any

import polars as pl
import typer
from rich.markup import escape as plain

from campaign_pipeline.cli.arguments import operator
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.operations.rollout_results import decision_figures, rollout_result
from campaign_pipeline.operations.rollouts import Progress, advance, decide, rollout_of, stop
from campaign_pipeline.operations.rollouts import rollouts as all_rollouts
from campaign_pipeline.operations.rollouts_shown import next_of, parts_of

rollouts = typer.Typer(help="Campaigns that are tested on some first.", no_args_is_help=True)

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run of the roll-out.")]
Why = Annotated[str, typer.Option("--why", help="Kept with the decision and your name.")]


@rollouts.command("list")
def list_all(campaign: Annotated[str | None, typer.Argument()] = None, as_json: AsJson = False) -> None:
    """Show roll-outs: their parts, how each is shared among the variants, why, and what comes next.

    Example: campaigns rollouts list spring-sale
    """
    found = all_rollouts(open_installation(), campaign)
    if as_json:
        show_json([_as_data(progress) for progress in found])
        return
    if not found:
        console.print("There is no roll-out.")
    for progress in found:
        show_table(progress.run.run_id, parts_of(progress))
        console.print(plain(next_of(progress)))


@rollouts.command("advance")
def advance_now(run: RunId, as_json: AsJson = False) -> None:
    """Decide on the next part by its rule, if it is due, as the sensor does by itself.

    Example: campaigns rollouts advance spring-sale--20260302t090000z
    """
    choice, follows = advance(open_installation(), run)
    if as_json:
        show_json({"run": follows or None, "weights": choice.weights, "reason": choice.reason})
        return
    console.print(plain(f"{follows or 'It waits'}: {choice.reason}."))


@rollouts.command("decide")
def decide_by_hand(
    run: RunId,
    variant: Annotated[str, typer.Option(help="What all who wait get.")],
    why: Why,
    as_json: AsJson = False,
) -> None:
    """Send one variant to all who wait, whatever the figures say. It cannot be taken back.

    Example: campaigns rollouts decide spring-sale--20260302t090000z --variant b --why "a is out of stock"
    """
    follows = decide(open_installation(), run, variant, reason=why, actor=operator())
    if as_json:
        show_json({"run": follows, "variant": variant})
        return
    console.print(plain(f"{follows} sends {variant} to all who wait; it starts as any requested run does."))


@rollouts.command("stop")
def stop_it(run: RunId, why: Why, as_json: AsJson = False) -> None:
    """End a roll-out: those who wait are not sent to. What was decided before goes on.

    Example: campaigns rollouts stop spring-sale--20260302t090000z --why "the offer is over"
    """
    new = stop(open_installation(), run, reason=why, actor=operator())
    if as_json:
        show_json({"stopped": True, "was_stopped_before": not new})
        return
    console.print("Stopped: who waits is not sent to." if new else "It was stopped before.")


@rollouts.command("show")
def show_one(run: RunId, as_json: AsJson = False) -> None:
    """Show one roll-out: its parts, the figures that each was decided by, and the result over all of them.

    Example: campaigns rollouts show spring-sale--20260302t090000z
    """
    installation = open_installation()
    progress = rollout_of(installation, run)
    figures, result = decision_figures(installation, run), rollout_result(installation, run)
    if as_json:
        show_json(_as_data(progress) | {"figures": figures, "result": result})
        return
    show_table(f"{progress.run.run_id}: {progress.state}", parts_of(progress))
    if figures.height:
        show_table("What the parts were decided by", figures.with_columns(pl.selectors.float().round_sig_figs(4)))
    if result.height:
        told = result.drop("metric", "is_control").with_columns(pl.selectors.float().round_sig_figs(4))
        show_table(f"{result['metric'][0]} over all parts, compared within each", told)


def _as_data(progress: Progress) -> dict[str, Any]:
    return {
        "run": progress.run.run_id,
        "campaign": progress.run.campaign.campaign,
        "state": progress.state,
        "next_at": progress.next_at,
        "parts": parts_of(progress),
    }
