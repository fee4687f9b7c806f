"""Real processes of this suite: started, killed for good by their own id, and none of them outlives its block."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from campaign_pipeline.core.paths import PROJECT_DIR

KILLED = -signal.SIGKILL
END_SECONDS = 30.0


@dataclass
class Process:
    """One process, with what it writes in a file of its own."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> bool:
        """kill -9, at once; whether it was still running."""
        self.popen.kill()
        return self.popen.wait(END_SECONDS) == KILLED

    def wait(self, seconds: float) -> int:
        """Its exit code; TimeoutExpired if it goes on for longer."""
        return self.popen.wait(seconds)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Processes:
    """Starts processes with one environment, in one folder; those that are left at the end are killed."""

    folder: Path
    environment: Mapping[str, str]
    started: list[Process] = field(default_factory=list[Process])

    def start(self, name: str, command: Sequence[str], **environment: str) -> Process:
        log = self.folder / f"{len(self.started):04d}-{name}.log"
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
        process = Process(name, popen, log)
        self.started.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self.started:
            process.popen.kill()
        for process in self.started:
            process.popen.wait(END_SECONDS)
            if process.popen.stdin:
                process.popen.stdin.close()
