"""Planning an experiment: `experiments plan`."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from campaign_pipeline.analytics.experiments.planning import Plan
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.operations.experiments import answer_of, plan_from


def plan(
    from_campaign: Annotated[
        str | None, typer.Option("--from", help="Baseline, arms, size and rules of the newest run of this campaign.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="With --from: which metric; its goal if absent.")] = None,
    baseline: Annotated[float | None, typer.Option(help="The control's rate (0.05 is 5 %) or mean.")] = None,
    sd: Annotated[float | None, typer.Option(help="Standard deviation of one unit, of a mean.")] = None,
    lift: Annotated[float | None, typer.Option(help="The relative lift to find: 0.1 is 10 % more.")] = None,
    units: Annotated[int | None, typer.Option(min=2, help="The units that there are, all arms together.")] = None,
    arms: Annotated[int, typer.Option(min=2, max=20, help="Number of arms, the control among them.")] = 2,
    weight: Annotated[
        list[float] | None, typer.Option(help="Weight of each arm, the control's first; equal if absent.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Two-sided level; 0.05 if absent.")] = None,
    power: Annotated[float | None, typer.Option(help="Probability to find the lift; 0.8 if absent.")] = None,
    sequential: Annotated[
        bool | None, typer.Option("--sequential/--fixed", help="Whether it may be looked at on any day.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plan a test: how many units a lift needs, or what lift the units at hand can find.

    Example: campaigns experiments plan --baseline 0.05 --lift 0.1
    """
    if (from_campaign is None) == (baseline is None):
        raise InvalidInput("say either --baseline or --from CAMPAIGN", "campaigns experiments plan --baseline 0.05")
    if from_campaign is not None:
        made, known = plan_from(
            open_installation(), from_campaign, metric, alpha=alpha, power=power, sequential=sequential
        )
        units = units or known
    else:
        made = Plan(
            mean=baseline or 0.0,
            variance=None if sd is None else sd**2,
            control="control",
            shares=_shares(arms, weight),
            alpha=0.05 if alpha is None else alpha,
            power=0.8 if power is None else power,
            sequential=bool(sequential),
        )
    answer = answer_of(made, lift, units)
    if as_json:
        show_json(answer)
    else:
        _show_plan(answer)


def _show_plan(answer: dict[str, Any]) -> None:
    share = answer["variance"] is None
    base = f"{answer['baseline']:.2%}" if share else f"{answer['baseline']:g}"
    console.print(
        f"Baseline {base}, {len(answer['arms'])} arms, alpha {answer['alpha']:g} "
        f"({answer['alpha_per_treatment']:.3g} for each treatment), power {answer['power']:.0%}, {answer['decision']}: "
        f"a difference must reach {answer['standard_errors_needed']:.2f} standard errors."
    )
    if answer["needed"]:
        arms = ", ".join(f"{arm} {units:,}" for arm, units in answer["needed"]["by_arm"].items())
        console.print(f"  To find {answer['lift']:+.1%}: {answer['needed']['units']:,} units ({arms}).")
    if answer["power_at_units"] is not None:
        console.print(
            f"  With {answer['units']:,} units that is found with probability {answer['power_at_units']:.1%}."
        )
    if answer["units"]:
        found = answer["detectable"]
        what = "nothing" if found is None else f"{found['relative']:+.1%} ({found['absolute']:+.4g})"
        console.print(f"  With {answer['units']:,} units the smallest lift that is found is {what}.")
    show_table("", [_line(row, share=share) for row in answer["table"]])


def _line(row: dict[str, Any], *, share: bool) -> dict[str, Any]:
    line = {
        "lift": f"{row['lift']:+.1%}",
        "difference": f"{row['absolute'] * 100:+.3g} points" if share else f"{row['absolute']:+.4g}",
        "units needed": row["needed"],
    }
    return line if row["power"] is None else line | {"power now": f"{row['power']:.1%}"}


def _shares(arms: int, weights: Sequence[float] | None) -> dict[str, float]:
    if weights and len(weights) < 2:
        raise InvalidInput("--weight is given for each arm, the control's first: at least twice")
    number = len(weights) if weights else arms
    names = ["control", *(["treatment"] if number == 2 else [f"treatment_{i}" for i in range(1, number)])]
    return dict(zip(names, weights or [1 / number] * number, strict=True))
