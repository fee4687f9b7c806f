"""Machines and humans among opens and clicks: `machines`."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.operations.machines import days_of_other_rules, reclass, rules_in_force


def register(app: typer.Typer) -> None:
    app.command("machines")(machines)


def machines(
    reclass_days: Annotated[
        bool, typer.Option("--reclass", help="Note the days of other rules, to be classed anew with all figures.")
    ] = False,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Leave days before this one (UTC) as they are.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the rules that tell machines from humans, and the days that were classed by other rules.

    Example: campaigns machines --reclass --since 2026-03-01
    """
    installation = open_installation()
    rules = rules_in_force(installation)
    first = f"{since.replace(tzinfo=UTC):%Y-%m-%d}" if since else ""
    days = reclass(installation, first) if reclass_days else days_of_other_rules(installation)
    if as_json:
        found = {"version": rules.label, "rules": rules.model_dump(), "days": days, "reclassed": reclass_days}
        show_json(found)
        return
    rows: list[dict[str, Any]] = [
        {"rule": "too_fast", "what": f"opened within {rules.too_fast.opened} s of the delivery, or clicked within"
         f" {rules.too_fast.clicked} s", "who": ""},
        {"rule": "all_links", "what": f"{rules.all_links.links} links of a message clicked within"
         f" {rules.all_links.within} s", "who": ""},
        *({"rule": "user_agent", "what": each.pattern, "who": each.who} for each in rules.agents.machines),
        *({"rule": "user_agent: people", "what": each.pattern, "who": each.who} for each in rules.agents.people),
        *({"rule": "network", "what": each.network, "who": each.who} for each in rules.networks),
    ]  # fmt: skip
    show_table(f"Rules of version {rules.label}", rows)
    if reclass_days:
        console.print(f"{len(days)} days are noted to be classed anew; Dagster's sensor does it, or: campaigns results")
    elif days:
        console.print(
            f"{len(days)} days were classed by other rules, {days[0]} to {days[-1]}: campaigns machines --reclass"
        )
