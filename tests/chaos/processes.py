"""Real processes of this suite: started, killed for good by their own id, and none of them outlives its block.

To start one from nothing costs a second and a half of imports; to fork one from a process that has them, a tenth. Most
of the many that are killed here are forked; what they run is the same.
"""

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from campaign_pipeline.core.paths import PROJECT_DIR

KILLED = -signal.SIGKILL
END_SECONDS = 30.0

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(
    [
        "campaign_pipeline.cli.app",
        "campaign_pipeline.dispatch.channels.sendgrid",
        "campaign_pipeline.dispatch.channels.twilio",
        "alembic.command",
        "pytest",
        "tests.chaos.worker",
    ]
)


class Process:
    """One process, and the file in which stands what it said."""

    def __init__(self, process: "subprocess.Popen[bytes] | ForkServerProcess", log: Path) -> None:
        self._process, self._log = process, log

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, -9 if it was killed; None while it runs."""
        process = self._process
        return process.poll() if isinstance(process, subprocess.Popen) else process.exitcode

    @property
    def running(self) -> bool:
        return self.code is None

    def kill(self) -> bool:
        """kill -9, at once; whether it was still running."""
        self._process.kill()
        return self.wait(END_SECONDS) == KILLED

    def freeze(self, seconds: float) -> None:
        """Let it stand still for so long."""
        if self.running:
            os.kill(self.pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(self.pid, signal.SIGCONT)

    def wait(self, seconds: float) -> int:
        """Its exit code; TimeoutError if it goes on for longer."""
        if isinstance(self._process, subprocess.Popen):
            self._process.wait(seconds)
        else:
            self._process.join(seconds)
        if self.code is None:
            raise TimeoutError(f"it still runs after {seconds:g} s: {self.said()}")
        return self.code

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        """Kill it, and give back what it holds."""
        self.kill()
        if isinstance(self._process, subprocess.Popen):
            if self._process.stdin:
                self._process.stdin.close()
        else:
            self._process.close()


@dataclass
class Processes:
    """Starts processes with one environment, in one folder; those that are left at the end are killed."""

    folder: Path
    environment: Mapping[str, str]
    started: list[Process] = field(default_factory=list[Process])

    def start(self, name: str, command: Sequence[str], **environment: str) -> Process:
        """One from nothing."""
        log = self._log(name)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("CAMPAIGN_")}
        with log.open("wb") as file:
            popen = subprocess.Popen(
                command,
                cwd=self.folder,  # no .env file of the project is read
                env={**inherited, "PYTHONPATH": str(PROJECT_DIR), **self.environment, **environment},
                stdin=subprocess.PIPE,  # ends when we do, which ends the sandbox
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        return self._kept(Process(popen, log))

    def fork(self, name: str, target: Callable[..., None], *arguments: object, **environment: str) -> Process:
        """One that calls `target` and has imported what that needs."""
        log = self._log(name)
        place = (self.folder, {**self.environment, **environment}, log)
        process = _forking.Process(target=_in_its_place, args=(*place, target, arguments))
        process.start()
        return self._kept(Process(process, log))

    def _log(self, name: str) -> Path:
        log = self.folder / f"{len(self.started):04d}-{name}.log"
        log.touch()
        return log

    def _kept(self, process: Process) -> Process:
        self.started.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self.started:
            process.end()


def _in_its_place(
    folder: Path, environment: Mapping[str, str], log: Path, target: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    """In the forked process: as if it had been started in this folder, with this environment and this output."""
    for name in [name for name in os.environ if name.startswith("CAMPAIGN_")]:
        del os.environ[name]
    os.environ.update(environment)
    os.chdir(folder)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    target(*arguments)
