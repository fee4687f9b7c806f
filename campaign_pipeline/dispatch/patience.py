"""How long and how often a worker tries again what was certainly not processed."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Pauses double from `first` to `longest` seconds; a provider's own wish counts if it is longer.

    After `tries` attempts in a row of which no message came any further, or if the provider wants a longer pause
    than `longest`, the batch is left for a later call.
    """

    tries: int = 5
    first: float = 0.5
    longest: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def pause(self, failures: int, wish: float) -> float | None:
        """Seconds before the next attempt, after `failures` (from 1) in a row; None: no more now."""
        if failures >= self.tries or wish > self.longest:
            return None
        return max(wish, min(self.first * 2 ** (failures - 1), self.longest))
