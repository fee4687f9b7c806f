"""Dagster as `make dev` runs it, without its web server: a daemon, its code server, and the workers of its runs."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml

from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.defs.automation import run_campaign
from tests.chaos.processes import Process
from tests.chaos.world import World

RUNTIME_SECONDS = 20
"""After which Dagster gives up a run whose process is gone without a word: two hours in dagster.yaml."""


def settings() -> dict[str, Any]:
    """Those of the project's dagster.yaml, in a hurry."""
    given = yaml.safe_load((PROJECT_DIR / "dagster.yaml").read_text())
    given["run_monitoring"] |= {"poll_interval_seconds": 1, "max_runtime_seconds": RUNTIME_SECONDS}
    given["run_coordinator"]["config"]["dequeue_interval_seconds"] = 1
    return given


@dataclass
class DagsterHome:
    """DAGSTER_HOME in the world's folder; `start` and `kill` are for all processes of the daemon together."""

    world: World
    folder: Path
    daemon: Process | None = None
    instance: dg.DagsterInstance = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        (self.folder / "dagster.yaml").write_text(yaml.safe_dump(settings()))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.world.processes.folder)  # the storage's folder is relative
            patch.setenv("DAGSTER_HOME", str(self.folder))
            self.instance = dg.DagsterInstance.get()

    def start(self) -> None:
        command = [sys.executable, "-m", "dagster._daemon", "run", "-m", "tests.chaos.dagster_part"]
        self.daemon = self.world.processes.start("daemon", command, DAGSTER_HOME=str(self.folder))

    def kill(self) -> None:
        """kill -9 of the daemon, the code server and every worker of a run, by their ids."""
        assert self.daemon is not None
        family = self._family()
        self.daemon.kill()
        for process in family:
            if process.is_running():  # psutil compares the time of start: the id is still this process's
                process.kill()

    def kill_the_worker_of(self, run: dg.DagsterRun) -> None:
        """kill -9 of the process that executes the run, and of it alone."""
        texts = [entry.user_message for entry in self.instance.all_logs(run.run_id)]
        [pid] = {int(text.split("(pid: ")[1].rstrip(")")) for text in texts if "in process (pid: " in text}
        [worker] = [process for process in self._family() if process.pid == pid]
        worker.kill()

    def press_materialise(self, campaign: str, as_of: str) -> Process:
        """The campaign's run as one more Dagster run of the same partition, in a process of its own."""
        command = [sys.executable, "-m", "campaign_pipeline.cli", "run", campaign, "--as-of", as_of, "--wait"]
        return self.world.processes.start("materialise", command, DAGSTER_HOME=str(self.folder))

    def runs_of(self, partition: str) -> list[dg.DagsterRun]:
        """All Dagster runs of a campaign's run, oldest first."""
        runs = self.instance.get_runs(dg.RunsFilter(job_name=run_campaign.name, tags={"dagster/partition": partition}))
        return runs[::-1]

    def _family(self) -> list[psutil.Process]:
        assert self.daemon is not None
        return psutil.Process(self.daemon.pid).children(recursive=True)


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} within {seconds:g} s"
        time.sleep(0.05)
