"""A world to go wrong: an installation of its own, the provider, the event receiver, and workers, as real processes."""

import socket
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.account import WANTED
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.ledger import Source
from campaign_pipeline.dispatch.states import OPEN, SETTLING, states
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.sending import settle_run
from campaign_pipeline.sandbox.faults import Fault
from campaign_pipeline.sandbox.ground_truth import read_sends
from campaign_pipeline.web.server import ReceiverServer
from tests.chaos.judge import Evidence
from tests.chaos.processes import Process, Processes
from tests.chaos.provider import Provider
from tests.chaos.worker import work
from tests.databases import initialised

FROM_NOTHING = 6
"""One worker in so many is started from nothing, as a user starts it; the others are forked."""


@dataclass(frozen=True)
class Settled:
    """How doubts were resolved, in messages."""

    by_events: int
    by_lookup: int


@dataclass(frozen=True)
class World:
    installation: Installation
    provider: Provider
    processes: Processes

    def work(self, run_id: str, within: Sequence[str] = (), **environment: str) -> Process:
        """One more worker for the run; `within`: a command that starts it in its own way."""
        if within or len(self.processes.started) % FROM_NOTHING == 0:
            command = [*within, sys.executable, "-m", "campaign_pipeline.cli", "work", run_id]
            return self.processes.start("worker", command, **environment)
        return self.processes.fork("worker", work, run_id, **environment)

    def open_messages(self, run_id: str) -> int:
        """Messages that may still be sent, by the ledger."""
        return states(*self._ledger(run_id)).filter(pl.col("state").is_in(list(OPEN))).height

    def evidence(self, run_id: str) -> Evidence:
        index, held = self._ledger(run_id)
        return Evidence(
            messages=index.select("message_no", "message_id"),
            states=states(index, held),
            sends=read_sends(self.installation.settings.sandbox_dir).filter(pl.col("run_id") == run_id),
            repeats=held.outcomes.filter(WANTED).select("message_no"),
        )

    def settle(self, run_id: str, after: timedelta = 2 * SETTLING, seconds: float = 600.0) -> Settled:
        """What happens by itself once so much time has passed, in which the answers of all workers got overdue.

        The provider's events are taken in, it is asked about the rest, and the run ends, or goes on where on_doubt says
        so. `seconds`: how long the provider may take to post its events.
        """
        settings = self.installation.settings
        given = {name: getattr(settings, name) for name in settings.model_fields_set}
        given["clock_offset_seconds"] = after / timedelta(seconds=1)
        later = Installation(Settings(_env_file=None, **given))  # pyright: ignore[reportCallIssue]
        try:
            self.provider.control.wait_until_idle(seconds)
            received = receive(later.engine, later.lake, later.settings)
            settle_run(later, run_id)
        finally:
            later.engine.dispose()
        return Settled(received.settled, self._outcomes_from(run_id, Source.LOOKUP))

    def _outcomes_from(self, run_id: str, source: Source) -> int:
        with reading(self.installation.engine) as connection:
            return ledger.read_outcomes(connection, run_id, source=source).height

    def _ledger(self, run_id: str) -> tuple[pl.DataFrame, ledger.Ledger]:
        """(BatchFile.index, all that the ledger holds of the run)."""
        index = BatchFile(self.installation.lake, run_id).index()
        with reading(self.installation.engine) as connection:
            return index, ledger.read_ledger(connection, run_id)


@contextmanager
def world(folder: Path, database_url: str = "", faults: Iterable[Fault] = (), **changes: Any) -> Generator[World]:
    """Everything on loopback and under `folder`, on SQLite or at `database_url`; `changes` are settings."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    values = {"data_dir": folder / "data", "database_url": database_url}
    values |= {"sendgrid_base_url": url, "twilio_base_url": url, "media_dir": ""} | changes
    with ReceiverServer(Settings(_env_file=None, **values)) as receiver:  # pyright: ignore[reportCallIssue]
        values["public_url"] = receiver.url
        settings = Settings(_env_file=None, **values)  # pyright: ignore[reportCallIssue]
        environment = {f"CAMPAIGN_{name.upper()}": str(value) for name, value in values.items()}
        installation = initialised(settings)
        with Processes(folder, environment | {"NO_PROXY": "127.0.0.1,localhost"}) as processes:
            provider = Provider(processes, settings, port, faults)
            provider.start()
            yield World(installation, provider, processes)
        installation.engine.dispose()
