"""What events made stale is brought up to date: days, then facts of runs, their results by day, reports.

The notes (events/touched.py) say what is left to do, so that the sensor here and a command that waits (`launch`) do the
same, and each takes up what the other, or a crash, left behind.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from campaign_pipeline.defs.partitions import days, run_day
from campaign_pipeline.events.touched import Kind, Note, RunDay, done, notes, ready

JOBS = {
    Kind.DAY: "update_day",
    Kind.RUN: "measure_run",
    Kind.RESULT: "compare_variants",
    Kind.REPORT: "publish_results",
}

NOTE_TAG = "campaigns/note"
"""On a Dagster run: the note that it works off."""
FOLLOWED_TAG = "campaigns/followed"
"""On a Dagster run whose starter sees to what follows: meanwhile the sensor leaves it to them."""

AT_ONCE = 100
"""Runs that the sensor asks for at a time."""
AGAIN_SECONDS = 300
"""How often something is tried again that failed or was killed."""
FOLLOWED_FOR = timedelta(minutes=10)
"""After that, whoever saw to the follow-ups is taken for dead."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Request:
    """A job to run next, with its partition and what it must hand on."""

    job: str
    partition: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        return f"{self.job}:{self.partition}" if self.partition else self.job


def stale(engine: sa.Engine) -> dict[Note, Request]:
    """What can be brought up to date now, and how: what waits for none of the others."""
    found = ready(notes(engine), days.get_partition_keys())
    return {note: Request(JOBS[note.kind], _partition(note), {NOTE_TAG: _tag(note)}) for note in found}


def _partition(note: Note) -> str:
    return str(run_day(*RunDay(*note.key.split("|")))) if note.kind is Kind.RESULT else note.key


def _tag(note: Note) -> str:
    return f"{note.kind}:{note.key}:{note.noted}"


def requests(instance: dg.DagsterInstance, engine: sa.Engine) -> list[dg.RunRequest]:
    """What Dagster is to run now. What it has run is done; what is under way, or seen to by somebody, is left alone."""
    if _followed(instance):
        return []
    asked: list[dg.RunRequest] = []
    busy = _under_way(instance, JOBS.values())
    for note, request in stale(engine).items():
        if len(asked) == AT_ONCE:
            break
        if (request.job, request.partition) in busy:
            continue
        if instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS], tags=dict(request.tags)), limit=1):
            done(engine, note)
            continue
        again = int(datetime.now(UTC).timestamp() // AGAIN_SECONDS)
        key = f"{request.tags[NOTE_TAG]}:{again}"
        asked.append(dg.RunRequest(key, job_name=request.job, partition_key=request.partition, tags=dict(request.tags)))
    return asked


def _under_way(instance: dg.DagsterInstance, jobs: Iterable[str]) -> Collection[tuple[str, str | None]]:
    found = (run for job in jobs for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNFINISHED)))
    return {(run.job_name, run.tags.get("dagster/partition")) for run in found}


def _followed(instance: dg.DagsterInstance) -> bool:
    recent = dg.RunsFilter(
        statuses=UNFINISHED, tags={FOLLOWED_TAG: "true"}, created_after=datetime.now(UTC) - FOLLOWED_FOR
    )
    return bool(instance.get_runs(recent, limit=1))
