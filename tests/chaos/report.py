"""What a long run showed, as a table and as JSON."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.chaos.judge import Policy
from tests.chaos.trial import Trial

Row = Mapping[str, str | int | float]


def row(trial: Trial, *, database: str, channel: str, policy: Policy) -> Row:
    """One line of the table; counts are messages, if not said otherwise."""
    storm, before, after = trial.storm, trial.before, trial.after
    return {
        "on_doubt": policy,
        "channel": channel,
        "database": database,
        "workers": storm.workers,
        "messages": before.messages,
        "kills": storm.kills,
        "kills_of_the_provider": storm.provider_kills,
        "sent_twice": after.sent_twice,
        "lost": after.lost,
        "in_doubt": before.in_doubt,
        "proven_by_events": trial.settled.by_events,
        "proven_by_lookup": trial.settled.by_lookup,
        "sent_once_more": after.given_up,
        "of_these_arrived_twice": after.repeated,
        "still_in_doubt": after.in_doubt,
        "though_received": after.doubts_that_left,
        "seconds": round(trial.seconds),
        "messages_per_s": round(before.messages / trial.seconds),
    }


def show(console: Console, rows: Sequence[Row]) -> None:
    """A column a run, a line a figure."""
    table = Table(box=SIMPLE_HEAD, show_header=False)
    for name in rows[0]:
        figures = (f"{each[name]:,}" if isinstance(each[name], int) else str(each[name]) for each in rows)
        table.add_row(name.replace("_", " "), *figures)
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)
