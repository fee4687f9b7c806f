"""Who is in a segment over time: `segments evaluate`, `segments history`, `segments changes`."""

from typing import Annotated

import typer

from campaign_pipeline.cli.arguments import AsOf, moment
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.core.written import written
from campaign_pipeline.operations.memberships import advance_consumer, evaluate_segments, history, read_changes

Consumer = Annotated[str, typer.Option("--consumer", help="Who reads: each has a cursor of its own in each segment.")]

SHOWN = 100
"""Changes in a table; --json has them all."""


def evaluate(
    name: Annotated[str | None, typer.Argument(help="One segment; or --all.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every segment that was applied.")] = False,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Work out who is in a segment, and keep who entered and left since the last time.

    Example: campaigns segments evaluate recent_buyers
    """
    if bool(name) == every:
        raise InvalidInput("which segments to evaluate is not said", "Give one name, or --all.")
    installation = open_installation()
    at = moment(as_of, installation.clock()) if as_of else None
    evaluated = evaluate_segments(installation, [name] if name else None, at)
    rows = [
        {
            "segment": each.segment,
            "as_of": each.as_of,
            "cause": each.cause.value,
            "members": each.members,
            "entered": each.entered,
            "left": each.left,
            "evaluation_id": each.evaluation_id,
        }
        for each in evaluated.evaluations.values()
    ]
    if not evaluated.errors and as_json:
        show_json(rows)
    elif rows and not as_json:
        show_table("evaluated", rows)
    elif not evaluated.errors:
        console.print("No segment yet. Load some: campaigns apply data/definitions")
    evaluated.require()


def show_history(
    name: str,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Show how large a segment was over time, and how many entered and left, newest first.

    Example: campaigns segments history recent_buyers --limit 10
    """
    rows = history(open_installation(), name, limit)
    if as_json:
        show_json(rows)
    elif rows.is_empty():
        console.print(f"{name} was not evaluated yet. Evaluate it: campaigns segments evaluate {name}")
    else:
        show_table(name, rows.drop("evaluated_at"))


def changes(
    name: str,
    consumer: Consumer,
    advance: Annotated[bool, typer.Option("--advance", help="Then move the cursor behind what was shown.")] = False,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="A new consumer starts there, and not now.")
    ] = False,
    rebaselines: Annotated[
        bool, typer.Option("--rebaselines", help="Also what the first evaluation and changed rules moved.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show who entered and left a segment since the consumer advanced last; without --advance, again next time.

    Example: campaigns segments changes recent_buyers --consumer crm --advance
    """
    installation = open_installation()
    read = read_changes(installation, consumer, name, from_beginning=from_beginning, rebaselines=rebaselines)
    passed_over = [
        {"evaluation_id": each.evaluation_id, "cause": each.cause.value, "entered": each.entered, "left": each.left}
        for each in ([] if rebaselines else read.rebaselines)
    ]
    if as_json:
        show_json(
            {
                "segment": name,
                "consumer": consumer,
                "changes": read.changes,
                "left_out": passed_over,
                "up_to": read.up_to,
                "advanced": advance,
            }
        )
    else:
        if advance and read.changes.height > SHOWN:
            raise Refused(
                f"{written(read.changes.height)} changes are more than the {SHOWN} that are shown", "Add --json."
            )
        if read.changes.is_empty():
            console.print(f"Nobody entered or left {name} that {consumer} has not done with.")
        else:
            show_table(f"{name}, for {consumer}", read.changes.drop("change_key").head(SHOWN))
        if read.changes.height > SHOWN:
            console.print(f"… and {written(read.changes.height - SHOWN)} more; --json has them all.")
        for each in passed_over:
            console.print(
                f"Left out: evaluation {each['evaluation_id']}, {each['cause']}: "
                f"{written(each['entered'])} entered, {written(each['left'])} left (--rebaselines shows them)."
            )
    if advance:  # last: what breaks off before it is read again
        advance_consumer(installation, read)


def register(segments: typer.Typer) -> None:
    segments.command()(evaluate)
    segments.command("history")(show_history)
    segments.command()(changes)
