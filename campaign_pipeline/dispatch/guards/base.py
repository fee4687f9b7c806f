"""A guard: whether a batch may go now, without whom, or when it may.

The sender asks all guards of a run, in their order, before each claim. Those that only look come first, those that
reserve something (a share of the sender's pace) last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from campaign_pipeline.core.errors import Halted
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.channels.base import Batch, Result


class LeftOut(NamedTuple):
    """A message that is not sent with its batch: recorded with the claim, as a rule of ours.

    For good, unless `outcome` may be tried again (words.RETRYABLE): then it stays open, and is asked about again.
    """

    message_no: int
    outcome: Outcome
    code: str  # which rule


@dataclass(frozen=True)
class Permit:
    """What a guard says of a batch; of several things that it says, the first in this order counts."""

    stop: Halted | None = None  # nothing more of the run is claimed in this call, and why
    later: datetime | None = None  # not before then: the batch stays open for a later wave, others go on
    wait: float = 0.0  # seconds until it is asked again; nothing was reserved
    left_out: tuple[LeftOut, ...] = ()  # these are not sent; the others may go
    for_all: bool = False  # later, wait: so it is for every batch of the run on this channel
    why: str = ""  # later: in words, without personal data


CLEAR = Permit()
"""The batch may go now, as it is."""


class Guard:
    """Asked and told by several threads at once; by default it has nothing against anything."""

    def look(self, batch: Batch, now: datetime) -> Permit:
        """Before the claim."""
        return CLEAR

    def within(self, connection: sa.Connection, batch: Batch, now: datetime) -> Sequence[LeftOut]:
        """In the claim's own transaction, once the claim is ours: who is left out at the last moment."""
        return ()

    def told(self, batch: Batch, results: Sequence[Result], now: datetime) -> None:
        """After what became of the batch was recorded."""
