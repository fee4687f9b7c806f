"""What a worker says in a log while it sends: counts only, no personal data."""

from collections.abc import Callable
from datetime import datetime, timedelta

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.written import written
from campaign_pipeline.dispatch.rate import estimated_end

EVERY = timedelta(seconds=10)
"""Between two lines; a batch that takes longer is waited for."""


class SendingLog:
    """A progress listener that says every EVERY how far one worker is, at its own rate since the line before.

    It counts what the worker knows: `campaigns status CAMPAIGN` counts all workers of the run together.
    """

    def __init__(self, say: Callable[[str], None], run_id: str, clock: Clock) -> None:
        self._say, self._run_id, self._clock = say, run_id, clock
        self._before: tuple[datetime, int] | None = None  # when the last line was said, and how many were done

    def __call__(self, what: str, done: int, total: int) -> None:
        now = self._clock()
        since, done_before = self._before = self._before or (now, done)
        if now - since < EVERY:
            return
        rate, remaining = (done - done_before) / (now - since).total_seconds(), total - done
        end = estimated_end(now, remaining, rate)
        self._say(
            f"{self._run_id}: {done:,} of {total:,} {what}, {remaining:,} remaining; this worker: {rate:,.1f} a second"
            f"{f', alone it is through at about {written(end)}' if end else ''}"
        )
        self._before = now, done
