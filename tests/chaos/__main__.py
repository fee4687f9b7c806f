"""The long chaos run: `make chaos`. It ends by itself, with exit code 1 if the promise was broken.

Most mishaps are kills of workers. Among them the provider is killed, clocks are wrong, rivals come, workers stand still
and PostgreSQL is restarted. Every choice follows from the seed, but not the moments: those are of real processes.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from campaign_pipeline.core.words import Channel
from tests.chaos import mishaps
from tests.chaos.faults import faults
from tests.chaos.report import Row, row, show
from tests.chaos.trial import run_trial
from tests.chaos.world import world
from tests.postgres import create_database, postgres_server

console = Console(stderr=True)
MOST_SECONDS = 3 * 3600.0
OUT_OF_20 = {mishaps.kill_the_provider: 1, mishaps.step_the_clock: 1}
"""Of 20 kills; the others are of workers."""

PROVIDER = {Channel.EMAIL: "sendgrid", Channel.SMS: "twilio"}


def main() -> None:
    given = options()
    rows: list[Row] = []
    problems: list[str] = []
    with databases(given.database) as found:
        for name, url_of, more in found:
            for channel, messages, kills in (
                (Channel.EMAIL, given.messages, given.kills),
                (Channel.SMS, given.texts, max(1, given.kills // 10)),
            ):
                happens = harm(kills, more, Random(given.seed))
                with (
                    tempfile.TemporaryDirectory(prefix="campaigns-chaos-") as folder,
                    world(Path(folder), url_of(channel), faults(PROVIDER[channel], 0.01)) as place,
                    bar(f"{channel}, {name}") as progress,
                ):
                    trial = run_trial(
                        place,
                        channel,
                        messages,
                        happens,
                        seed=given.seed,
                        workers=given.workers,
                        policy=given.policy,
                        seconds=MOST_SECONDS,
                        progress=progress,
                    )
                rows.append(row(trial, database=name, channel=channel, policy=given.policy))
                problems += trial.problems
    show(console, rows)
    report = json.dumps({"chaos": rows, "problems": problems, "seed": given.seed, "cores": os.cpu_count()}, indent=1)
    print(report)  # noqa: T201
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(report + "\n")
    sys.exit(1 if problems else 0)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000, help="e-mails of each run")
    parser.add_argument("--texts", type=int, default=20_000, help="SMS of each run, with a tenth of the kills")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2, help="at once")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--policy", choices=["never_duplicate", "never_lose"], default="never_duplicate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the report is written to as well")
    return parser.parse_args()


def harm(kills: int, more: list[mishaps.Mishap], random: Random) -> list[mishaps.Mishap]:
    """`kills` kills of all kinds, some rivals and frozen workers, and `more`, in a random order."""
    chosen = [mishap for mishap, number in OUT_OF_20.items() for _ in range(kills * number // 20)]
    chosen += [mishaps.kill_a_worker] * (kills - len(chosen))
    chosen += [mishaps.start_a_rival, mishaps.freeze_a_worker] * (kills // 20)
    chosen += more * (kills // 40)
    random.shuffle(chosen)
    return chosen


@contextmanager
def databases(chosen: str) -> Generator[list[tuple[str, Callable[[Channel], str], list[mishaps.Mishap]]]]:
    """(name, its URL for a channel's run, what can happen to it besides) of each."""
    found: list[tuple[str, Callable[[Channel], str], list[mishaps.Mishap]]] = []
    if chosen != "postgresql":
        found.append(("sqlite", lambda _channel: "", []))
    if chosen == "sqlite":
        yield found
        return
    with postgres_server() as server:
        found.append(("postgresql", new_databases(server), [mishaps.cut_connections, mishaps.restart(server)]))
        yield found


def new_databases(server: Any) -> Callable[[Channel], str]:
    return lambda channel: create_database(server, f"chaos_{channel}")


@contextmanager
def bar(what: str) -> Generator[Callable[[int, int], None]]:
    """Called with (sent, messages), shows a bar on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


if __name__ == "__main__":
    main()
