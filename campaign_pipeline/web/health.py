"""Is the receiver fit to take events? Its writer is alive, and the disk takes what it is given, in time."""

import asyncio
import time

from campaign_pipeline.events.inbox import Inbox

PROBE_SECONDS = 3.0
"""A disk that takes longer does not answer."""
FRESH_SECONDS = 1.0
"""How long a probe counts: whoever asks more often does not wear the disk."""


class Health:
    """Asks the disk by writing a little to the inbox's folder: one probe at a time, shared by all who ask."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._probe: asyncio.Task[str] | None = None
        self._begun = 0.0

    async def problem(self) -> str:
        """What is wrong, in words; '' if nothing is."""
        if not self._inbox.is_running:
            return "the inbox is not being written"
        probe = self._probe
        if probe is None or (probe.done() and time.monotonic() - self._begun > FRESH_SECONDS):
            probe = self._probe = asyncio.create_task(self._ask())
            self._begun = time.monotonic()
        await asyncio.wait({probe}, timeout=PROBE_SECONDS)
        return probe.result() if probe.done() else "the disk of the inbox does not answer"

    async def _ask(self) -> str:
        try:
            await asyncio.to_thread(self._inbox.probe)
        except OSError as error:
            return f"the inbox cannot be written: {error.strerror}"
        return ""
